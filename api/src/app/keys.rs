//! Keyrings: given in production, made once and kept in a file of its owner's in embedded mode.

use std::io::{ErrorKind, Write};
use std::path::Path;

use carillon_domain::entropy::SystemEntropy;
use carillon_domain::keys::Keyring;

use super::AppError;
use crate::config::Config;

/// Both keyrings of a process.
#[derive(Debug)]
pub struct Keys {
    /// For addresses, links and sealed values.
    pub main: Keyring,
    /// For access tokens.
    pub tokens: Keyring,
}

/// The keyrings of a configuration.
pub fn load(config: &Config) -> Result<Keys, AppError> {
    let folder = config.data.join("keys");
    let or_kept = |given: &Option<Keyring>, name: &str| match given {
        Some(keyring) => Ok(keyring.clone()),
        None => kept(&folder, name),
    };
    let tokens = match &config.keys.tokens {
        // Who signs nobody in was given none (L1), and nobody believes what these would sign.
        None if !config.is_embedded() => Keyring::generate(&SystemEntropy),
        given => or_kept(given, "tokens")?,
    };
    Ok(Keys { main: or_kept(&config.keys.main, "main")?, tokens })
}

/// True where an earlier start made the keys.
pub fn are_made(config: &Config) -> bool {
    config.data.join("keys").join("main").exists()
}

/// Reads a keyring, or makes it. Two processes that start at once end up with the same one.
fn kept(folder: &Path, name: &str) -> Result<Keyring, AppError> {
    let failed = |source| AppError::Io { what: "the keys under CARILLON_DATA", source };
    let path = folder.join(name);
    private_folder(folder).map_err(failed)?;
    let made = Keyring::generate(&SystemEntropy).to_secret_text();
    // Written aside and linked into place: a crash leaves no half of a key.
    let aside = folder.join(format!(".{name}.{}", std::process::id()));
    if !path.exists() {
        write_private(&aside, &made).map_err(failed)?;
        let linked = std::fs::hard_link(&aside, &path);
        std::fs::remove_file(&aside).map_err(failed)?;
        if let Err(error) = linked
            && error.kind() != ErrorKind::AlreadyExists
        {
            return Err(failed(error));
        }
    }
    let text = std::fs::read_to_string(&path).map_err(failed)?;
    text.trim().parse().map_err(AppError::Keys)
}

/// Makes a folder that its owner alone can enter.
pub(super) fn private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_are_their_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let first = kept(&keys, "main").unwrap().to_secret_text();
        assert_eq!(kept(&keys, "main").unwrap().to_secret_text(), first);
        assert_ne!(kept(&keys, "tokens").unwrap().to_secret_text(), first);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&keys), mode(&keys.join("main"))), (0o700, 0o600));
        }
    }

    #[test]
    fn a_spoilt_file_is_an_error_and_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("main"), "spoilt").unwrap();
        assert!(matches!(kept(folder.path(), "main"), Err(AppError::Keys(_))));
        assert_eq!(std::fs::read_to_string(folder.path().join("main")).unwrap(), "spoilt");
    }
}
