//! Who may come in and what they may do: roles, passwords, privileges.
//!
//! [`Authority`] is what a server knows of them; a session asks it for its [`Authorization`] before
//! each statement, so that a revoked privilege ends with the next one.

pub mod book;
pub mod change;
pub mod password;
pub mod privilege;
pub mod scram;
mod store;
pub mod throttle;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub use self::book::{Authorization, Book, Role};
use self::change::{Actor, Asked, Done};
use self::scram::{NONCE_BYTES, Verifier};
use crate::error::{Error, Result};
use crate::metastore::Metastore;

/// The role that owns every object.
pub const OWNER: &str = "loyalhouse";

/// The one database, as privileges name it.
pub const DATABASE: &str = "loyalhouse";

/// The roles and grants of a server.
///
/// Without a catalog file there are none, and whoever reaches the server may do everything.
#[derive(Debug)]
pub struct Authority {
    store: Option<Arc<Metastore>>,
    book: RwLock<Arc<Book>>,
    /// The foreign version of the catalog file that `book` was read from.
    version: Mutex<i64>,
    mock_secret: [u8; NONCE_BYTES],
}

impl Authority {
    /// An authority without roles.
    pub fn open_to_all() -> Arc<Self> {
        Arc::new(Self {
            store: None,
            book: RwLock::default(),
            version: Mutex::new(0),
            mock_secret: [0; NONCE_BYTES],
        })
    }

    /// The roles of a catalog file. `secret` is random; what unknown users are shown follows from it.
    pub fn new(store: Arc<Metastore>, secret: [u8; NONCE_BYTES]) -> Result<Arc<Self>> {
        let version = store.foreign_version()?;
        let book = store.read(|transaction| store::load(&store, transaction))?;
        Ok(Arc::new(Self {
            store: Some(store),
            book: RwLock::new(Arc::new(book)),
            version: Mutex::new(version),
            mock_secret: secret,
        }))
    }

    /// The roles and grants as they are now.
    pub fn book(&self) -> Arc<Book> {
        Arc::clone(&self.book.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the catalog file again if another process changed it.
    pub fn refresh(&self) -> Result<()> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        // Held while reading, so that an older state cannot replace a newer one.
        let mut known = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        let version = store.foreign_version()?;
        if *known != version {
            let book = store.read(|transaction| store::load(store, transaction))?;
            self.replace(book);
            *known = version;
        }
        Ok(())
    }

    /// Makes changes, all or none of them, and tells what each has to say.
    pub fn change(&self, changes: &[Asked], actor: &Actor<'_>) -> Result<Vec<Done>> {
        let store = self.changeable()?;
        let known = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        let (done, book) =
            store.write(|transaction| change::run(store, transaction, changes, actor))?;
        self.replace(book);
        drop(known);
        Ok(done)
    }

    /// Whether changes could be made, and what each would have to say; nothing is changed.
    pub fn rehearse(&self, changes: &[Asked], actor: &Actor<'_>) -> Result<Vec<Done>> {
        let store = self.changeable()?;
        let rehearsed =
            store.rehearse(|transaction| change::run(store, transaction, changes, actor))?;
        Ok(rehearsed.0)
    }

    /// The verifier of a user who may log in now, or one that no password fits.
    pub fn verifier(&self, user: &str, now_us: i64) -> Verifier {
        let mock = Verifier::mock(user, &self.mock_secret);
        let book = self.book();
        let current = book.role(user).filter(|role| {
            let until = role.valid_until_us;
            until.is_none_or(|until| now_us < until)
        });
        current
            .and_then(|role| role.verifier.clone())
            .unwrap_or(mock)
    }

    fn changeable(&self) -> Result<&Metastore> {
        self.store.as_deref().ok_or_else(|| {
            Error::feature_not_supported("roles and privileges are kept in a warehouse folder")
                .with_detail("This server was started without one.")
                .with_hint("Start it with --warehouse DIR.")
        })
    }

    fn replace(&self, book: Book) {
        *self.book.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
    }
}
