//! Where settings come from: the environment, over an optional TOML file.

use std::collections::BTreeMap;
use std::path::Path;

use super::Duty;
use super::table::SETTINGS;

/// Settings as given, by name; nothing is known of them yet.
#[derive(Default, Clone)]
pub struct Source(BTreeMap<&'static str, String>);

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Source {
    /// Reads the environment, and the file that `CARILLON_CONFIG` names.
    ///
    /// # Errors
    /// What is wrong with the file, without its values.
    pub fn read(environment: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let given = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        let mut source = match given("CARILLON_CONFIG") {
            Some(path) => Self::from_file(Path::new(&path))?,
            None => Self::default(),
        };
        for setting in SETTINGS {
            if let Some(value) = given(setting.name) {
                source.0.insert(setting.name, value);
            }
        }
        Ok(source)
    }

    /// Settings by name, for tests and tools.
    pub fn of<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Vec<String>> {
        let values: BTreeMap<&str, &str> = values.into_iter().collect();
        Self::read(|name| values.get(name).map(|value| (*value).to_owned()))
    }

    fn from_file(path: &Path) -> Result<Self, Vec<String>> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| vec![format!("CARILLON_CONFIG: {}: {error}", path.display())])?;
        let table = text.parse::<toml::Table>();
        // A parser's message quotes the line, which may hold a secret.
        let table = table.map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].lines().count());
            vec![format!("CARILLON_CONFIG: {}: not TOML near line {line}", path.display())]
        })?;
        let mut source = Self::default();
        let mut errors = Vec::new();
        for (key, value) in table {
            let setting = SETTINGS.iter().find(|setting| setting.name == key && key != "CARILLON_CONFIG");
            let value = match value {
                toml::Value::String(text) => Some(text),
                toml::Value::Integer(number) => Some(number.to_string()),
                _ => None,
            };
            match (setting, value) {
                (Some(setting), Some(value)) => drop(source.0.insert(setting.name, value)),
                (Some(_), None) => errors.push(format!("{key}: give text or a whole number")),
                (None, _) => errors.push(format!("{key}: there is no such setting")),
            }
        }
        if errors.is_empty() { Ok(source) } else { Err(errors) }
    }

    /// True when these are a production deployment's; said, or told by a database that is a server.
    pub(super) fn is_production(&self) -> bool {
        let urls = ["DATABASE_URL", "DATABASE_IDENTITY_URL", "DATABASE_DISPATCH_URL", "DATABASE_OWNER_URL"];
        self.get("CARILLON_MODE")
            .map_or_else(|| urls.iter().any(|url| self.get(url).is_some()), |mode| mode == "production")
    }

    /// What a process of production has a use for, and the secrets among the rest.
    pub(super) fn only(&self, duty: Duty) -> (Self, Vec<&'static str>) {
        if !self.is_production() {
            return (self.clone(), Vec::new());
        }
        let (taken, left): (BTreeMap<_, _>, BTreeMap<_, _>) =
            self.0.clone().into_iter().partition(|(name, _)| duty.takes(name));
        let secrets = SETTINGS.iter().filter(|setting| setting.secret && duty.minds());
        let needless = secrets.map(|setting| setting.name).filter(|name| left.contains_key(name)).collect();
        (Self(taken), needless)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        debug_assert!(SETTINGS.iter().any(|setting| setting.name == name), "{name} is in the table");
        self.0.get(name).map(|value| value.trim())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let file = file("CARILLON_BIND = \"127.0.0.1:1\"\nDATABASE_POOL = 7\n");
        let path = file.path().to_str().unwrap();
        let source = Source::of([("CARILLON_CONFIG", path), ("CARILLON_BIND", "127.0.0.1:2"), ("REDIS_URL", " ")]);
        let source = source.unwrap();
        assert_eq!(source.get("CARILLON_BIND"), Some("127.0.0.1:2"));
        assert_eq!(source.get("DATABASE_POOL"), Some("7"));
        assert_eq!(source.get("REDIS_URL"), None);
    }

    #[test]
    fn a_files_mistakes_are_told_together_and_without_values() {
        let wrong = file("TYPO = \"hush\"\nDATABASE_POOL = [1]\n");
        let errors = Source::of([("CARILLON_CONFIG", wrong.path().to_str().unwrap())]).unwrap_err();
        assert_eq!(errors.len(), 2);
        let broken = file("DATABASE_URL = hush\n");
        let errors = Source::of([("CARILLON_CONFIG", broken.path().to_str().unwrap())]).unwrap_err();
        assert!(!errors.concat().contains("hush") && errors.concat().contains("line"), "{errors:?}");
    }
}
