//! Data that tests read: the sample, the CDNOW purchases, and a few small tables.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use loyalhouse::sample::{self, SampleOptions};
use parquet::arrow::ArrowWriter;

/// A folder with the sample at a small scale, the CDNOW files, `numbers` (id 0..10,000) and
/// `kpi.targets`; made once per run, in cargo's folder for test data.
pub(crate) fn data() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("it-data");
        // What an earlier run left, perhaps half made.
        let _absent = std::fs::remove_dir_all(&data);
        let options = SampleOptions {
            scale: 0.01,
            seed: 7,
        };
        sample::write(&options, &data, &mut |_| {}).unwrap();
        for name in ["cdnow_master.parquet", "cdnow_sample.parquet"] {
            std::fs::copy(data_file(name), data.join(name)).unwrap();
        }
        write_numbers(&data.join("numbers.parquet"), 0, 10_000);
        std::fs::create_dir_all(data.join("kpi/targets")).unwrap();
        write_numbers(&data.join("kpi/targets/part.parquet"), 0, 3);
        data
    };
    FOLDER.get_or_init(make).clone()
}

/// A file of `tests/data`.
pub(crate) fn data_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// Writes `count` rows (id bigint, name text, bucket int) starting at `first`.
pub(crate) fn write_numbers(path: &Path, first: i64, count: i64) {
    let ids: Vec<i64> = (first..first + count).collect();
    let names: Vec<String> = ids.iter().map(|id| format!("name {id}")).collect();
    let buckets: Vec<i32> = ids.iter().map(|id| (id % 10) as i32).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(ids))),
        ("name", Arc::new(StringArray::from(names))),
        ("bucket", Arc::new(Int32Array::from(buckets))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    // Readers list while this writes: the file appears whole.
    let partial = path.with_extension("partial");
    let mut writer =
        ArrowWriter::try_new(File::create(&partial).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    std::fs::rename(partial, path).unwrap();
}
