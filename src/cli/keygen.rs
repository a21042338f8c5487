//! `countersign keygen`: a fresh key, on standard output or in a file that only its owner
//! reads. A file that exists is never overwritten: it may be the key in use.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::exit;
use crate::dialect::{Algorithm, fresh};

/// Arguments of `countersign keygen`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign keygen > support.secret                  a secret, for both sides
  countersign keygen --alg RS256 --out website.key     a private key, and website.key.pub")]
pub struct Args {
    /// HS256 makes a secret, the others a key pair.
    #[arg(long, default_value = "HS256", value_parser = algorithms())]
    alg: Algorithm,
    /// Write the key to this file (mode 0600), and a public half to FILE.pub.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn algorithms() -> impl TypedValueParser<Value = Algorithm> {
    let names = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
    PossibleValuesParser::new(names.map(Algorithm::name))
        .try_map(|name| Algorithm::from_name(&name).ok_or("no such algorithm"))
}

/// Runs the command; returns the exit code.
pub fn main(args: &Args) -> u8 {
    let made = generate(args.alg).and_then(|(key, public)| match &args.out {
        Some(file) => save(file, &key, public.as_deref())
            .map_err(|error| format!("{}: {error}", file.display())),
        None => print(&key, public.as_deref()).map_err(|error| error.to_string()),
    });
    match made {
        Ok(said) => {
            eprintln!("{said}");
            exit::YES
        }
        Err(error) => {
            eprintln!("error: {error}");
            exit::FAULT
        }
    }
}

/// The key as text, and its public half if it has one.
fn generate(algorithm: Algorithm) -> Result<(crate::secret::Secret, Option<String>), String> {
    if algorithm.is_symmetric() {
        let mut text = fresh::secret().map_err(|error| error.to_string())?.expose().to_vec();
        text.push(b'\n');
        return Ok((crate::secret::Secret::new(text), None));
    }
    let pair = fresh::pair(algorithm).map_err(|error| error.to_string())?;
    Ok((pair.private, Some(pair.public)))
}

fn print(key: &crate::secret::Secret, public: Option<&str>) -> io::Result<String> {
    let mut out = io::stdout().lock();
    out.write_all(key.expose())?;
    out.write_all(public.unwrap_or_default().as_bytes())?;
    out.flush()?;
    Ok(match public {
        None => "A secret: the website signs with it, and the site has it as \
                 `secret: { file: … }`."
            .to_owned(),
        Some(_) => "First the private key, which stays with the website, then the public key, \
                    which the site has as `public_key: { file: … }`."
            .to_owned(),
    })
}

/// Writes the files and says which.
fn save(file: &Path, key: &crate::secret::Secret, public: Option<&str>) -> io::Result<String> {
    let mut half = OsString::from(file);
    half.push(".pub");
    let half = PathBuf::from(half);
    // Both are opened before either is written, so that a clash leaves nothing behind.
    let mut private = create(file, 0o600)?;
    if let Some(public) = public {
        let written = create(&half, 0o644).and_then(|mut half| half.write_all(public.as_bytes()));
        if let Err(error) = written {
            drop(private);
            _ = std::fs::remove_file(file);
            let kind = error.kind();
            return Err(io::Error::new(kind, format!("{}: {error}", half.display())));
        }
    }
    private.write_all(key.expose())?;
    private.sync_all()?;
    let (file, half) = (file.display(), half.display());
    Ok(match public {
        None => format!(
            "The secret is in {file} (mode 0600); the site has it as `secret: {{ file: {file} }}`."
        ),
        Some(_) => format!(
            "The private key is in {file} (mode 0600) and stays with the website; the public key \
             is in {half}, and the site has it as `public_key: {{ file: {half} }}`."
        ),
    })
}

fn create(file: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Key;
    use crate::secret::Secret;
    use std::os::unix::fs::PermissionsExt;

    fn args(alg: Algorithm, out: PathBuf) -> Args {
        Args { alg, out: Some(out) }
    }

    #[test]
    fn a_pair_is_written_where_only_its_owner_reads_the_private_half() {
        let folder = tempfile::tempdir().unwrap();
        for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
            let file = folder.path().join(algorithm.name());
            assert_eq!(main(&args(algorithm, file.clone())), exit::YES);
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            assert!(std::fs::read_to_string(&file).unwrap().starts_with("-----BEGIN PRIVATE KEY"));
            let public = std::fs::read(folder.path().join(algorithm.name().to_owned() + ".pub"));
            let key = Key::public_pem("k", None, &public.unwrap()).unwrap();
            assert_eq!(key.algorithm(), algorithm);
        }
    }

    #[test]
    fn a_secret_has_64_characters_and_no_second_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        assert_eq!(main(&args(Algorithm::HS256, file.clone())), exit::YES);
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.trim_end_matches('\n').len(), 64);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_exists_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(folder.path().join("key.pub"), "mine").unwrap();
        assert_eq!(main(&args(Algorithm::EdDSA, file.clone())), exit::FAULT);
        assert!(!file.exists(), "a private key without its half was left behind");
        std::fs::write(&file, "mine").unwrap();
        assert_eq!(main(&args(Algorithm::HS256, file.clone())), exit::FAULT);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        let nowhere = folder.path().join("absent").join("key");
        assert_eq!(main(&args(Algorithm::HS256, nowhere)), exit::FAULT);
    }

    #[test]
    fn what_is_said_holds_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let key = Secret::new(b"hunter2".to_vec());
        let said = save(&folder.path().join("key"), &key, Some("public")).unwrap();
        assert!(said.contains("key.pub") && !said.contains("hunter2"), "{said}");
    }
}
