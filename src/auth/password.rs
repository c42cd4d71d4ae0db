//! From what a person gives as a password to what is kept of it.

use super::scram::{ITERATIONS, SALT_BYTES, Verifier};
use crate::error::{Error, Result};

/// Length of a password at the most, in bytes.
const PASSWORD_BYTES_MAX: usize = 1024;

/// What is kept of a password: `None` for an empty one, which lets nobody in. A verifier in
/// PostgreSQL's text form is taken as it is.
pub fn verifier_of(password: &str) -> Result<Option<Verifier>> {
    use rand::RngCore;
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(Error::invalid_parameter_value("the password is too long")
            .with_detail(format!("It may take {PASSWORD_BYTES_MAX} bytes.")));
    }
    if let Some(verifier) = Verifier::parse(password) {
        return Ok(Some(verifier).filter(|verifier| !verifier.fits("")));
    }
    if is_md5(password) {
        return Err(
            Error::feature_not_supported("md5 passwords are not supported")
                .with_hint("Give the password itself, or its SCRAM-SHA-256 verifier."),
        );
    }
    if password.is_empty() {
        return Ok(None);
    }
    let mut salt = vec![0; SALT_BYTES];
    rand::rng().fill_bytes(&mut salt);
    Ok(Some(Verifier::of_password(password, salt, ITERATIONS)))
}

/// PostgreSQL's old form, which anyone who reads it can log in with.
fn is_md5(password: &str) -> bool {
    password
        .strip_prefix("md5")
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_become_verifiers_and_verifiers_stay() {
        let made = verifier_of("secret").unwrap().unwrap();
        assert!(made.fits("secret"));
        assert_ne!(Some(&made), verifier_of("secret").unwrap().as_ref());
        assert_eq!(verifier_of(&made.to_string()).unwrap(), Some(made));
        assert_eq!(verifier_of("").unwrap(), None);
        assert!(verifier_of("md5d41d8cd98f00b204e9800998ecf8427e").is_err());
        assert!(verifier_of(&"x".repeat(2_000)).is_err());
        let empty = Verifier::of_password("", b"salt".to_vec(), ITERATIONS);
        assert_eq!(verifier_of(&empty.to_string()).unwrap(), None);
    }
}
