//! AUTH PLAIN and LOGIN of the catcher.

use encodify::base64::STANDARD;
use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN};

use super::settings::CatcherAuth;

/// What the next line of the client means.
#[derive(Debug)]
pub(super) enum AuthStep {
    Plain,
    LoginUser,
    LoginPassword { user: Vec<u8> },
}

/// What to do after a step.
#[derive(Debug)]
pub(super) enum AuthAnswer {
    Ask(&'static str, AuthStep),
    Accepted,
    Refused,
    Unknown,
}

impl CatcherAuth {
    pub(super) fn mechanisms(&self) -> u64 {
        if self.login_only { AUTH_LOGIN } else { AUTH_LOGIN | AUTH_PLAIN }
    }

    pub(super) fn begin(&self, mechanism: u64, initial: &str) -> AuthAnswer {
        if mechanism & self.mechanisms() == 0 {
            return AuthAnswer::Unknown;
        }
        match (mechanism, initial) {
            (AUTH_PLAIN, "") => AuthAnswer::Ask("334 \r\n", AuthStep::Plain),
            (AUTH_PLAIN, initial) => self.proceed(AuthStep::Plain, initial.as_bytes()),
            _ => AuthAnswer::Ask("334 VXNlcm5hbWU6\r\n", AuthStep::LoginUser),
        }
    }

    pub(super) fn proceed(&self, step: AuthStep, line: &[u8]) -> AuthAnswer {
        let Ok(given) = STANDARD.decode(line.trim_ascii()) else { return AuthAnswer::Refused };
        let right = match step {
            AuthStep::LoginUser => {
                return AuthAnswer::Ask("334 UGFzc3dvcmQ6\r\n", AuthStep::LoginPassword { user: given });
            }
            AuthStep::LoginPassword { user } => self.is(&user, &given),
            AuthStep::Plain => {
                let mut parts = given.splitn(3, |byte| *byte == 0).skip(1);
                matches!((parts.next(), parts.next()), (Some(user), Some(password)) if self.is(user, password))
            }
        };
        if right { AuthAnswer::Accepted } else { AuthAnswer::Refused }
    }

    /// In constant time for guesses of the right length (C-236).
    fn is(&self, user: &[u8], password: &[u8]) -> bool {
        use aws_lc_rs::constant_time::verify_slices_are_equal as verify;
        let user = verify(user, self.user.as_bytes()).is_ok();
        let password = verify(password, self.password.as_bytes()).is_ok();
        user & password
    }
}
