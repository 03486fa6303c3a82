//! What an inline style says about being seen: the tricks that hide a way out carelessly or on purpose (C-15).

/// Letters this small are not read, in pixels or points.
const SMALLEST: f64 = 1.0;
/// Text this faint is not read.
const FAINTEST: f64 = 0.1;
/// Text moved this far is off the page.
const FARTHEST: f64 = -500.0;
/// Channels of two colours that nobody tells apart differ by no more.
const NEAR: u8 = 8;
/// Characters of a colour that is not known; every element within another carries a copy.
const COLOR_MAX: usize = 64;
/// Colours by name that are used to hide text.
const NAMES: &[(&str, Color)] = &[
    ("white", Color::Rgb(255, 255, 255)),
    ("snow", Color::Rgb(255, 250, 250)),
    ("ivory", Color::Rgb(255, 255, 240)),
    ("whitesmoke", Color::Rgb(245, 245, 245)),
    ("black", Color::Rgb(0, 0, 0)),
    ("gray", Color::Rgb(128, 128, 128)),
    ("grey", Color::Rgb(128, 128, 128)),
    ("silver", Color::Rgb(192, 192, 192)),
    ("red", Color::Rgb(255, 0, 0)),
    ("maroon", Color::Rgb(128, 0, 0)),
    ("yellow", Color::Rgb(255, 255, 0)),
    ("olive", Color::Rgb(128, 128, 0)),
    ("lime", Color::Rgb(0, 255, 0)),
    ("green", Color::Rgb(0, 128, 0)),
    ("aqua", Color::Rgb(0, 255, 255)),
    ("cyan", Color::Rgb(0, 255, 255)),
    ("teal", Color::Rgb(0, 128, 128)),
    ("blue", Color::Rgb(0, 0, 255)),
    ("navy", Color::Rgb(0, 0, 128)),
    ("fuchsia", Color::Rgb(255, 0, 255)),
    ("magenta", Color::Rgb(255, 0, 255)),
    ("purple", Color::Rgb(128, 0, 128)),
    ("orange", Color::Rgb(255, 165, 0)),
];

/// What an inline style says.
#[derive(Default)]
pub(super) struct Style {
    pub hides: bool,
    /// Whether letters are too small to read; an element within may make them larger again.
    pub tiny: Option<bool>,
    pub color: Option<Color>,
    pub background: Option<Color>,
}

impl Style {
    pub(super) fn parse(style: &str) -> Self {
        let mut parsed = Self::default();
        for (key, value) in style.split(';').filter_map(|declaration| declaration.split_once(':')) {
            let key = key.trim().to_ascii_lowercase();
            let value = value.to_ascii_lowercase().replace("!important", "");
            let value = value.trim();
            match &*key {
                "display" => parsed.hides |= value == "none",
                "visibility" => parsed.hides |= matches!(value, "hidden" | "collapse"),
                "mso-hide" => parsed.hides |= value == "all",
                "opacity" => parsed.hides |= number(value).is_some_and(|number| number < FAINTEST),
                "font-size" => parsed.tiny = Some(is_unreadable(value)),
                "font" => parsed.tiny = font_size(value).map(is_unreadable).or(parsed.tiny),
                "max-height" | "max-width" | "height" | "width" => parsed.hides |= number(value) == Some(0.0),
                "text-indent" | "left" | "top" | "margin-left" => {
                    parsed.hides |= number(value).is_some_and(|number| number < FARTHEST);
                }
                "transform" => parsed.hides |= value.replace(' ', "").contains("scale(0)"),
                "color" => parsed.color = Some(Color::parse(value)),
                "background" | "background-color" => parsed.background = Some(Color::parse(value)),
                _ => {}
            }
        }
        parsed
    }
}

/// The number that a value starts with: `0px`, `0.5em`, `-999px`.
fn number(value: &str) -> Option<f64> {
    let unit = value.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+'))).unwrap_or(value.len());
    value[..unit].parse().ok()
}

fn is_unreadable(size: &str) -> bool {
    let least = if size.ends_with("px") || size.ends_with("pt") { SMALLEST } else { 0.0 };
    // A twentieth of what is around it is no smaller than nothing to a reader.
    let relative = size.ends_with("em") || size.ends_with('%');
    let least = if relative { if size.ends_with('%') { 5.0 } else { 0.05 } } else { least };
    number(size).is_some_and(|number| number <= least)
}

/// The size in `italic 12px/1.5 Arial`: what stands in front of a slash, or has a unit.
fn font_size(font: &str) -> Option<&str> {
    font.split_whitespace().map(|word| word.split('/').next().unwrap_or(word)).find(|word| {
        let unit = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        unit.len() < word.len() && (*word == "0" || matches!(unit, "px" | "pt" | "em" | "rem" | "%"))
    })
}

/// A colour as far as it is needed to tell whether text can be read on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Color {
    Rgb(u8, u8, u8),
    /// Nothing is seen of it.
    Clear,
    /// Any other way to write one.
    Other(String),
}

impl Color {
    pub(super) const WHITE: Self = Self::Rgb(255, 255, 255);

    /// Reads a colour, or the first of the words of a background that is one.
    pub(super) fn parse(value: &str) -> Self {
        let value = value.trim().to_ascii_lowercase();
        let word = || value.split_whitespace().find_map(|word| hex(word).or_else(|| named(word)));
        let known = functional(&value).or_else(word);
        known.unwrap_or_else(|| Self::Other(value.chars().filter(|c| !c.is_whitespace()).take(COLOR_MAX).collect()))
    }

    /// Whether text of this colour is seen on that one.
    pub(super) fn shows_on(&self, background: &Self) -> bool {
        match (self, background) {
            (Self::Clear, _) => false,
            (Self::Rgb(r, g, b), Self::Rgb(br, bg, bb)) => {
                r.abs_diff(*br).max(g.abs_diff(*bg)).max(b.abs_diff(*bb)) > NEAR
            }
            (one, other) => one != other,
        }
    }
}

fn named(word: &str) -> Option<Color> {
    if word == "transparent" {
        return Some(Color::Clear);
    }
    NAMES.iter().find(|(name, _)| *name == word).map(|(_, color)| color.clone())
}

/// `#fff`, `#ffffff`, and both with an opacity.
fn hex(word: &str) -> Option<Color> {
    let digits: Vec<u8> = word
        .strip_prefix('#')?
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let channels: Vec<u8> = match digits.len() {
        3 | 4 => digits.iter().map(|digit| digit * 17).collect(),
        6 | 8 => digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect(),
        _ => return None,
    };
    match channels[..] {
        [_, _, _, 0] => Some(Color::Clear),
        [r, g, b] | [r, g, b, _] => Some(Color::Rgb(r, g, b)),
        _ => None,
    }
}

/// `rgb(255, 255, 255)`, `rgba(255 255 255 / 50%)`.
fn functional(value: &str) -> Option<Color> {
    let start = value.find("rgb")?;
    let (_, rest) = value[start..].split_once('(')?;
    let (inside, _) = rest.split_once(')')?;
    let mut numbers = inside.split([',', ' ', '/']).filter(|part| !part.is_empty()).map(|part| {
        let scale = if part.ends_with('%') { 2.55 } else { 1.0 };
        number(part).map(|number| (number * scale, number))
    });
    let mut channel = || numbers.next().flatten().and_then(|(number, _)| nearest(number));
    let (r, g, b) = (channel()?, channel()?, channel()?);
    match numbers.next().flatten() {
        Some((_, 0.0)) => Some(Color::Clear),
        _ => Some(Color::Rgb(r, g, b)),
    }
}

fn nearest(channel: f64) -> Option<u8> {
    (0..=u8::MAX).find(|whole| channel <= f64::from(*whole) + 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c015_ways_to_hide_text() {
        for text in [
            "display:none",
            "DISPLAY : none !important",
            "visibility:hidden",
            "mso-hide:all",
            "opacity:0",
            "opacity:.01",
            "font-size:0",
            "font-size:1px",
            "font:0/0 a",
            "font: italic 0px Arial",
            "max-height:0px",
            "width:0",
            "text-indent:-9999px",
            "position:absolute;left:-10000px",
            "transform:scale(0)",
        ] {
            let style = Style::parse(text);
            assert!(style.hides || style.tiny == Some(true), "{text}");
        }
        for text in [
            "",
            "font-size:12px",
            "font: 12px/1.5 Arial",
            "opacity:.8",
            "width:100%",
            "line-height:0",
            "margin:0",
            "font-size:.9em",
        ] {
            let style = Style::parse(text);
            assert!(!style.hides && style.tiny != Some(true), "{text}");
        }
    }

    #[test]
    fn c015_colours_that_are_the_same() {
        let shows = |text: &str, background: &str| Color::parse(text).shows_on(&Color::parse(background));
        for (text, background) in [
            ("#fff", "white"),
            ("#fffffe", "#FFF"),
            ("rgb(255,255,255)", "#ffffff"),
            ("rgba(100%, 100%, 100%, 1)", "#fff url(x.png)"),
            ("transparent", "#000"),
            ("#0000", "#fff"),
            ("rgba(0,0,0,0)", "#fff"),
            ("red", "#f00"),
            ("hsl(1,2%,3%)", "hsl(1, 2%, 3%)"),
        ] {
            assert!(!shows(text, background), "{text} on {background}");
        }
        for (text, background) in [("#000", "#fff"), ("#777", "white"), ("blue", "url(x.png)"), ("inherit", "#fff")] {
            assert!(shows(text, background), "{text} on {background}");
        }
    }
}
