//! Enums whose variants have one stable text each: the same in rows, in JSON facts and in the API's error details.

/// The text is none of the codes of the enum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a known {kind}")]
pub struct UnknownCode {
    /// Name of the enum.
    pub kind: &'static str,
}

/// Declares an enum with `as_str`, `ALL`, `FromStr`, `Display` and serde, all from one list of codes.
macro_rules! text_code {
    ($(#[$doc:meta])* $vis:vis enum $name:ident {$($(#[$variant_doc:meta])* $variant:ident = $code:literal,)+}) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name {$($(#[$variant_doc])* $variant,)+}

        impl $name {
            /// Every value, in order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable text.
            pub const fn as_str(self) -> &'static str {
                match self {$(Self::$variant => $code,)+}
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::text_code::UnknownCode;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($code => Ok(Self::$variant),)+
                    _ => Err($crate::text_code::UnknownCode { kind: stringify!($name) }),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
