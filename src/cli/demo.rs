//! Writing the sample with a progress bar, and the sample that `serve --demo` keeps.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::error::{Error, Result};
use crate::sample::{self, SampleOptions};

/// Scale of the demo: 2,000 customers, written in about a second.
const DEMO_SCALE: f64 = 0.2;

/// The folder of the demo data; written at the first use.
pub(super) fn folder() -> Result<String> {
    let options = SampleOptions {
        scale: DEMO_SCALE,
        seed: sample::DEFAULT_SEED,
    };
    let folder = cache_folder().join("demo");
    if !sample::holds(&options, &folder)? {
        if let Some(parent) = folder.parent() {
            std::fs::create_dir_all(parent).map_err(|error| {
                Error::io_error(format!("could not create {}: {error}", parent.display()))
            })?;
        }
        write(&options, &folder)?;
    }
    Ok(folder.to_string_lossy().into_owned())
}

/// Shows on a terminal that something long goes on, and nothing in a pipe.
pub(super) fn spinner(message: &str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(message.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

/// Writes a sample, with a progress bar on a terminal and none in a pipe.
pub(super) fn write(options: &SampleOptions, folder: &Path) -> Result<()> {
    // indicatif draws on standard error, and nothing if that is no terminal.
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg:14} {bar:40} {percent:>3} %  {eta} left")
    {
        bar.set_style(style);
    }
    let summary = sample::write(options, folder, &mut |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
        bar.set_message(progress.table.name());
    })?;
    bar.finish_and_clear();
    for (table, rows) in &summary.rows {
        tracing::info!(table = table.name(), rows, "written");
    }
    Ok(())
}

/// The user's cache folder by the XDG rule, else a folder beside the temporary files.
fn cache_folder() -> PathBuf {
    let home = || std::env::home_dir().map(|home| home.join(".cache"));
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(home)
        .unwrap_or_else(std::env::temp_dir)
        .join("loyalhouse")
}
