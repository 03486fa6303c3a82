//! Three answers: what cannot be known is neither yes nor no.

text_code! {
    /// The answer of a condition, as Kleene's logic and SQL's NULL have it.
    pub enum Truth {
        /// It does not hold.
        No = "no",
        /// Nobody can know: the person is not tracked.
        Unknown = "unknown",
        /// It holds.
        Yes = "yes",
    }
}

impl Truth {
    /// Both: the lesser of the two, no before unknown before yes.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.min(other)
    }

    /// Either: the greater of the two.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.max(other)
    }

    /// True where it is known to hold.
    pub fn is_yes(self) -> bool {
        self == Self::Yes
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }
}

impl From<bool> for Truth {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

#[cfg(test)]
mod tests {
    use super::Truth::{self, No, Unknown, Yes};

    #[test]
    fn kleenes_laws() {
        assert_eq!((Unknown.and(No), Unknown.and(Yes), Unknown.or(Yes), Unknown.or(No)), (No, Unknown, Yes, Unknown));
        assert_eq!(!Unknown, Unknown, "what nobody knows, nobody knows the opposite of");
        for a in Truth::ALL.iter().copied() {
            assert_eq!((!!a, a.and(a), a.or(a), a.and(Yes), a.or(No)), (a, a, a, a, a));
            for b in Truth::ALL.iter().copied() {
                assert_eq!((a.and(b), a.or(b)), (b.and(a), b.or(a)));
                assert_eq!((!(a.and(b)), !(a.or(b))), ((!a).or(!b), (!a).and(!b)), "De Morgan");
                assert_eq!((a.and(a.or(b)), a.or(a.and(b))), (a, a), "absorption");
                for c in Truth::ALL.iter().copied() {
                    assert_eq!(a.and(b.or(c)), a.and(b).or(a.and(c)), "distribution");
                    assert_eq!(a.and(b).and(c), a.and(b.and(c)));
                }
            }
        }
    }
}
