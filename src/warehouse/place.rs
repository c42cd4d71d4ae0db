//! Where the folders of tables lie: in the warehouse folder, or below a prefix of an object store.

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tokio::runtime::Handle;
use url::Url;

use super::names::Relation;
use super::{TABLES_FOLDER, TEMPORARY_FOLDER, TEMPORARY_SCHEMA, fault};
use crate::error::{Error, Result};
use crate::storage::{FileStore, Location};

/// The object below a prefix that says whose tables lie there.
const OWNER_OBJECT: &str = "loyalhouse.owner";

/// The place of all tables of a warehouse.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// The warehouse folder.
    Local {
        /// As the machine knows it.
        root: PathBuf,
        /// As the store knows it.
        path: Path,
    },
    /// An object store.
    Remote {
        /// As it was given.
        location: Location,
        /// As the store knows it.
        path: Path,
    },
}

impl Place {
    /// The warehouse folder.
    pub(super) fn local(root: PathBuf) -> Result<Self> {
        let path = Path::from_absolute_path(&root);
        let path = path.map_err(|error| no_place(&root.display()).with_source(error))?;
        Ok(Self::Local { root, path })
    }

    /// A prefix of an object store.
    pub(super) fn remote(location: Location) -> Result<Self> {
        let path = location.prefix()?;
        Ok(Self::Remote { location, path })
    }

    /// What the catalog remembers of it: nothing for the folder that it lies in itself.
    pub(super) fn remembered(&self) -> String {
        match self {
            Self::Local { .. } => String::new(),
            Self::Remote { location, .. } => location.to_string(),
        }
    }

    /// The store of the tables; queries run in `runtime`, requests on `network`.
    pub(super) fn open(
        &self,
        runtime: Arc<RuntimeEnv>,
        network: &Handle,
    ) -> Result<Arc<FileStore>> {
        match self {
            Self::Local { root, .. } => FileStore::local(root, runtime),
            Self::Remote { location, .. } => FileStore::remote(location, runtime, network),
        }
    }

    /// The folder of a table, as the store knows it.
    pub(super) fn path(&self, relation: &Relation) -> Path {
        let (Self::Local { path, .. } | Self::Remote { path, .. }) = self;
        path.clone()
            .join(inner(relation))
            .join(relation.id.as_str())
    }

    /// The folder of a table on this machine's disk, if it is there.
    pub(super) fn local_folder(&self, relation: &Relation) -> Option<PathBuf> {
        match self {
            Self::Local { root, .. } => Some(root.join(inner(relation)).join(&relation.id)),
            Self::Remote { .. } => None,
        }
    }

    /// The folder of a table, as the Delta library wants it.
    pub(super) fn url(&self, relation: &Relation) -> Result<Url> {
        match (self, self.local_folder(relation)) {
            (Self::Remote { location, .. }, _) => location.folder_url(&self.path(relation)),
            (Self::Local { .. }, folder) => {
                let folder = folder.unwrap_or_default();
                Url::from_directory_path(&folder).map_err(|()| no_place(&folder.display()))
            }
        }
    }

    /// The folders of tables that are there, by id, in an object store.
    pub(super) async fn remote_folders(
        location: &Location,
        store: &dyn ObjectStore,
    ) -> Result<Vec<(String, Path)>> {
        let mut found = Vec::new();
        for inner in [TABLES_FOLDER, TEMPORARY_FOLDER] {
            let folder = location.prefix()?.join(inner);
            let listed = store.list_with_delimiter(Some(&folder)).await;
            let listed = listed.map_err(|error| unlisted(location, error))?;
            for path in listed.common_prefixes {
                found.extend(path.filename().map(|id| (id.to_owned(), path.clone())));
            }
        }
        Ok(found)
    }

    /// Makes a prefix that of the catalog of this number alone, or fails with 55006: two catalogs would
    /// remove the tables of each other.
    pub(super) async fn claim(
        location: &Location,
        store: &dyn ObjectStore,
        id: &str,
    ) -> Result<()> {
        let path = location.prefix()?.join(OWNER_OBJECT);
        let failed =
            |error| fault::write_failed("the place of the tables could not be used", error);
        let put = PutOptions::from(PutMode::Create);
        match store.put_opts(&path, id.to_owned().into(), put).await {
            Ok(_) => return Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
        let owner = store.get(&path).await.map_err(failed)?;
        let owner = owner.bytes().await.map_err(failed)?;
        match owner.as_ref() == id.as_bytes() {
            true => Ok(()),
            false => Err(Error::object_in_use(format!(
                "{location} holds the tables of another warehouse"
            ))
            .with_detail(format!(
                "The object {OWNER_OBJECT} there names another catalog."
            ))
            .with_hint(
                "Give the warehouse folder whose catalog names these tables, or another prefix.",
            )),
        }
    }
}

fn inner(relation: &Relation) -> &'static str {
    match relation.schema == TEMPORARY_SCHEMA {
        true => TEMPORARY_FOLDER,
        false => TABLES_FOLDER,
    }
}

fn no_place(shown: &dyn std::fmt::Display) -> Error {
    Error::io_error(format!("{shown} is no place for tables"))
}

/// Removes everything below a folder of a store.
pub(super) async fn remove_all(store: &dyn ObjectStore, folder: &Path) -> object_store::Result<()> {
    let paths = store.list(Some(folder)).map_ok(|object| object.location);
    let gone = store.delete_stream(paths.boxed());
    gone.try_for_each(|_| std::future::ready(Ok(()))).await
}

fn unlisted(location: &Location, error: object_store::Error) -> Error {
    fault::write_failed(&format!("could not list the tables in {location}"), error)
}
