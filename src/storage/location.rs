//! LOCATION: a local folder, a single Parquet file, or a prefix in an object store.
//!
//! Credentials and endpoints come from the environment that each service's own tools read; they
//! are refused inside a LOCATION and never printed.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::object_store::ObjectStoreUrl;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::SpawnedReqwestConnector;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};
use tokio::runtime::Handle;
use url::Url;

use super::fault;
use crate::error::{Error, Result};

/// Time to reach a store before the attempt counts as failed.
const CONNECT_TIMEOUT: &str = "5 seconds";
/// Time for one request with its body; reads are cut so that a slow line can keep up.
const REQUEST_TIMEOUT: &str = "10 seconds";
/// Time from the first attempt after which no further one starts. With the two limits above a
/// statement learns within about 20 s that its store is down.
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);
/// Attempts after the first.
const RETRIES_MAX: usize = 5;
/// Pause before the first retry; grows by half each time up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two attempts.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Where data lies, as given on the command line.
#[derive(Clone, PartialEq, Eq)]
pub struct Location(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Local {
        path: PathBuf,
        single_file: bool,
    },
    Remote {
        service: Service,
        bucket: Url,
        prefix: Path,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    S3,
    Google,
    Azure,
}

impl Location {
    /// Reads a LOCATION: a path (which must exist), `file://`, `s3://`, `gs://`, `az://` or `abfs(s)://`.
    pub fn parse(text: &str) -> Result<Self> {
        match text.split_once("://") {
            None => Self::local(FsPath::new(text)),
            Some((scheme, _)) => Self::from_url(scheme, text),
        }
    }

    fn from_url(scheme: &str, text: &str) -> Result<Self> {
        let url = Url::parse(text).map_err(|error| {
            Error::invalid_parameter_value(format!("location is not a valid URL: {error}"))
        })?;
        let service = match scheme.to_ascii_lowercase().as_str() {
            "file" => {
                let path = url.to_file_path().map_err(|()| {
                    Error::invalid_parameter_value("location is no path on this machine")
                        .with_hint("Write file:///path with three slashes.")
                })?;
                return Self::local(&path);
            }
            "s3" | "s3a" => Service::S3,
            "gs" => Service::Google,
            "az" | "azure" | "abfs" | "abfss" => Service::Azure,
            _ => {
                return Err(Error::invalid_parameter_value(format!(
                    "location {scheme}://… has an unknown scheme"
                ))
                .with_hint("Use a folder, file://, s3://, gs:// or az://."));
            }
        };
        let container = matches!(scheme, "abfs" | "abfss") && url.password().is_none();
        let bare = url.username().is_empty() && url.password().is_none();
        if !(bare || container) || url.query().is_some() || url.fragment().is_some() {
            return Err(
                Error::invalid_parameter_value("location must not carry credentials")
                    .with_hint("Give them in the environment, e.g. AWS_ACCESS_KEY_ID."),
            );
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(Error::invalid_parameter_value("location names no bucket"));
        }
        let prefix = Path::from_url_path(url.path()).map_err(|_| {
            Error::invalid_parameter_value("location has a path that no object can have")
        })?;
        let mut bucket = url;
        bucket.set_path("/");
        Ok(Self(Kind::Remote {
            service,
            bucket,
            prefix,
        }))
    }

    fn local(path: &FsPath) -> Result<Self> {
        let shown = path.display().to_string();
        let path = path
            .canonicalize()
            .map_err(|error| fault::local_failed(&shown, &error))?;
        if path.is_dir() {
            std::fs::read_dir(&path).map_err(|error| fault::local_failed(&shown, &error))?;
            return Ok(Self(Kind::Local {
                path,
                single_file: false,
            }));
        }
        let is_parquet = path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("parquet"));
        if !is_parquet {
            return Err(Error::invalid_parameter_value(format!(
                "location \"{shown}\" is neither a folder nor a .parquet file"
            )));
        }
        Ok(Self(Kind::Local {
            path,
            single_file: true,
        }))
    }

    /// Whether files are read from this machine's file system.
    pub fn is_local(&self) -> bool {
        matches!(self.0, Kind::Local { .. })
    }

    /// The path on this machine, if there is one.
    pub(super) fn local_path(&self) -> Option<&FsPath> {
        match &self.0 {
            Kind::Local { path, .. } => Some(path),
            Kind::Remote { .. } => None,
        }
    }

    /// Whether the LOCATION may name one file: known for a local path, to be asked of a store.
    pub(super) fn may_be_file(&self) -> bool {
        match &self.0 {
            Kind::Local { single_file, .. } => *single_file,
            Kind::Remote { prefix, .. } => super::layout::is_parquet(prefix.as_ref()),
        }
    }

    /// The place in the store.
    pub fn prefix(&self) -> Result<Path> {
        match &self.0 {
            Kind::Remote { prefix, .. } => Ok(prefix.clone()),
            Kind::Local { path, .. } => Path::from_absolute_path(path).map_err(|error| {
                Error::invalid_parameter_value(format!("location \"{self}\" has an unusable name"))
                    .with_detail(format!("{error}."))
            }),
        }
    }

    /// What stands before an object's path when it is shown.
    pub(super) fn shown_root(&self) -> String {
        match &self.0 {
            Kind::Local { .. } => "/".to_owned(),
            Kind::Remote { bucket, .. } => bucket.to_string(),
        }
    }

    /// The name of the folder, from which a table without another name takes its own.
    pub(super) fn folder_name(&self) -> String {
        let name = match &self.0 {
            Kind::Local { path, .. } => path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned()),
            Kind::Remote { bucket, prefix, .. } => prefix
                .filename()
                .map(str::to_owned)
                .or_else(|| bucket.host_str().map(str::to_owned)),
        };
        name.unwrap_or_else(|| "data".to_owned())
    }

    /// The key under which DataFusion finds the store.
    pub(super) fn store_url(&self) -> Result<ObjectStoreUrl> {
        match &self.0 {
            Kind::Local { .. } => Ok(ObjectStoreUrl::local_filesystem()),
            Kind::Remote { bucket, .. } => ObjectStoreUrl::parse(bucket.as_str())
                .map_err(|error| Error::internal("object store URL").with_source(error)),
        }
    }

    /// A folder of the store, given by its place in it.
    pub fn folder_url(&self, folder: &Path) -> Result<Url> {
        let bad = || Error::invalid_parameter_value(format!("{folder} is no place for a table"));
        match &self.0 {
            Kind::Local { .. } => {
                Url::from_directory_path(format!("/{folder}")).map_err(|()| bad())
            }
            Kind::Remote { bucket, .. } => {
                let mut url = bucket.clone();
                let mut parts = url.path_segments_mut().map_err(|()| bad())?;
                parts
                    .clear()
                    .extend(folder.parts().map(|part| part.as_ref().to_owned()));
                parts.push("");
                drop(parts);
                Ok(url)
            }
        }
    }

    /// Opens the store; HTTP runs on `io` when one is given.
    pub(super) fn open_store(&self, io: Option<&Handle>) -> Result<Arc<dyn ObjectStore>> {
        let Kind::Remote {
            service, bucket, ..
        } = &self.0
        else {
            return Ok(Arc::new(LocalFileSystem::new()));
        };
        let store = match service {
            Service::S3 => s3(bucket, io)?,
            Service::Google => google(bucket, io),
            Service::Azure => azure(bucket, io),
        };
        store.map_err(|error| fault::store_failed(&self.to_string(), &error))
    }
}

type Opened = object_store::Result<Arc<dyn ObjectStore>>;

fn s3(bucket: &Url, io: Option<&Handle>) -> Result<Opened> {
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket.host_str().unwrap_or_default())
        .with_config(
            AmazonS3ConfigKey::Client(ClientConfigKey::Timeout),
            REQUEST_TIMEOUT,
        )
        .with_config(
            AmazonS3ConfigKey::Client(ClientConfigKey::ConnectTimeout),
            CONNECT_TIMEOUT,
        )
        .with_retry(retry());
    let endpoint = builder
        .get_config_value(&AmazonS3ConfigKey::S3Endpoint)
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint));
    if let Some(endpoint) = endpoint {
        let allowed = builder
            .get_config_value(&AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp))
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        match plain_http(&endpoint) {
            PlainHttp::Loopback => builder = builder.with_allow_http(true),
            PlainHttp::Elsewhere if !allowed => {
                return Err(
                    Error::invalid_parameter_value("the S3 endpoint is plain HTTP")
                        .with_hint("Use an https endpoint, or set AWS_ALLOW_HTTP=true."),
                );
            }
            PlainHttp::Elsewhere | PlainHttp::No => {}
        }
    }
    if let Some(io) = io {
        builder = builder.with_http_connector(SpawnedReqwestConnector::new(io.clone()));
    }
    Ok(builder.build().map(|store| Arc::new(store) as _))
}

fn google(bucket: &Url, io: Option<&Handle>) -> Opened {
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket.host_str().unwrap_or_default())
        .with_config(
            GoogleConfigKey::Client(ClientConfigKey::Timeout),
            REQUEST_TIMEOUT,
        )
        .with_config(
            GoogleConfigKey::Client(ClientConfigKey::ConnectTimeout),
            CONNECT_TIMEOUT,
        )
        .with_retry(retry());
    if let Some(io) = io {
        builder = builder.with_http_connector(SpawnedReqwestConnector::new(io.clone()));
    }
    builder.build().map(|store| Arc::new(store) as _)
}

fn azure(bucket: &Url, io: Option<&Handle>) -> Opened {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_url(bucket.as_str())
        .with_config(
            AzureConfigKey::Client(ClientConfigKey::Timeout),
            REQUEST_TIMEOUT,
        )
        .with_config(
            AzureConfigKey::Client(ClientConfigKey::ConnectTimeout),
            CONNECT_TIMEOUT,
        )
        .with_retry(retry());
    if let Some(io) = io {
        builder = builder.with_http_connector(SpawnedReqwestConnector::new(io.clone()));
    }
    builder.build().map(|store| Arc::new(store) as _)
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: RETRY_PAUSE,
            max_backoff: RETRY_PAUSE_MAX,
            base: 1.5,
        },
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_TIMEOUT,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum PlainHttp {
    No,
    Loopback,
    Elsewhere,
}

fn plain_http(endpoint: &str) -> PlainHttp {
    let Ok(url) = Url::parse(endpoint) else {
        return PlainHttp::No;
    };
    if url.scheme() != "http" {
        return PlainHttp::No;
    }
    let host = url.host_str().unwrap_or_default();
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    if host == "localhost" || address.is_ok_and(|address| address.is_loopback()) {
        PlainHttp::Loopback
    } else {
        PlainHttp::Elsewhere
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Local { path, .. } => write!(f, "{}", path.display()),
            Kind::Remote { bucket, prefix, .. } => write!(f, "{bucket}{prefix}"),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Error {
        Location::parse(text).unwrap_err()
    }

    #[test]
    fn a_folder_a_file_and_a_url_are_locations() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.parquet");
        std::fs::write(&file, b"x").unwrap();
        let folder_text = folder.path().to_str().unwrap();
        assert!(!Location::parse(folder_text).unwrap().may_be_file());
        assert!(
            Location::parse(&format!("file://{folder_text}"))
                .unwrap()
                .is_local()
        );
        assert!(
            Location::parse(file.to_str().unwrap())
                .unwrap()
                .may_be_file()
        );
        assert!(
            Location::parse("src")
                .unwrap()
                .local_path()
                .unwrap()
                .is_absolute()
        );
    }

    #[test]
    fn what_is_not_there_or_not_parquet_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv");
        std::fs::write(&file, b"x").unwrap();
        assert_eq!(refused("/no/such/folder").state().code(), "58P01");
        assert_eq!(refused(file.to_str().unwrap()).state().code(), "22023");
        assert_eq!(refused("ftp://host/x").state().code(), "22023");
        assert_eq!(refused("s3:///x").state().code(), "22023");
    }

    #[test]
    fn stores_have_a_bucket_and_a_prefix() {
        let location = Location::parse("s3://shop/warehouse/orders").unwrap();
        assert_eq!(location.prefix().unwrap().as_ref(), "warehouse/orders");
        assert_eq!(location.folder_name(), "orders");
        assert_eq!(location.shown_root(), "s3://shop/");
        assert_eq!(Location::parse("gs://shop").unwrap().folder_name(), "shop");
        let azure = Location::parse("abfss://box@account.dfs.core.windows.net/a").unwrap();
        assert_eq!(azure.prefix().unwrap().as_ref(), "a");
    }

    #[test]
    fn credentials_in_a_location_are_refused_and_not_repeated() {
        for text in [
            "s3://key:TOPSECRET@shop/x",
            "s3://TOPSECRET@shop",
            "az://box/x?sig=TOPSECRET",
        ] {
            let error = refused(text);
            assert_eq!(error.state().code(), "22023", "{text}");
            assert!(!format!("{error:?}").contains("TOPSECRET"), "{error:?}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback() {
        assert_eq!(plain_http("http://127.0.0.1:5000"), PlainHttp::Loopback);
        assert_eq!(plain_http("http://localhost:5000"), PlainHttp::Loopback);
        assert_eq!(plain_http("http://[::1]:5000"), PlainHttp::Loopback);
        assert_eq!(plain_http("http://10.0.0.1:5000"), PlainHttp::Elsewhere);
        assert_eq!(
            plain_http("http://localhost.example.com"),
            PlainHttp::Elsewhere
        );
        assert_eq!(plain_http("https://10.0.0.1"), PlainHttp::No);
    }
}
