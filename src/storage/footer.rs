//! The footer of a Parquet file: read whole, checked, and freed of statistics that would mislead.
//!
//! DataFusion 55 prunes and counts by the statistics of a footer. Four kinds of them lead to
//! wrong rows and are dropped here, before anything sees them:
//!
//! * a nullable column without `null_count`: the base takes the missing count as 0;
//! * the maximum of a float column: it leaves NaN out, which is greater than every number;
//! * bounds whose order is not defined (INT96, old signed comparison of text);
//! * bounds of which the lower is above the upper.

use std::any::Any;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::datasource::physical_plan::parquet::Int96Coercer;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::scalar::ScalarValue;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::basic::{SortOrder, Type as PhysicalType};
use parquet::file::metadata::{
    ColumnChunkMetaData, FooterTail, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData,
};
use parquet::file::statistics::Statistics as ChunkStatistics;

use super::pinned::PinnedFile;
use super::{fault, merge};
use crate::error::{Error, Result};

/// Bytes at the end of a Parquet file: length of the metadata, then the magic.
const TAIL_BYTES: u64 = 8;
/// Bytes of a remote file's end that come with the first request; most footers fit.
const REMOTE_TAIL_BYTES: u64 = 512 * 1024;
/// Longest metadata that is read; hostile lengths must not take the memory.
const METADATA_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The magic at both ends of a Parquet file.
const MAGIC: &[u8] = b"PAR1";

/// What the table needs to know of one file.
#[derive(Debug)]
pub(super) struct Footer {
    /// The columns as they are read, without partition keys.
    pub(super) schema: SchemaRef,
    pub(super) rows: u64,
    /// Of the columns of `schema`.
    pub(super) statistics: Arc<Statistics>,
    /// Nullable columns whose writer left the null counts out.
    pub(super) uncounted: Vec<String>,
}

/// Reads and checks the metadata of a file.
pub(super) async fn read(file: &mut PinnedFile) -> Result<ParquetMetaData> {
    let size = file.size();
    if size < TAIL_BYTES + MAGIC.len() as u64 {
        let why = format!("it has {size} bytes, too few for any Parquet file");
        return Err(fault::file_corrupt(file.name(), &why));
    }
    let first = if file.is_local() {
        TAIL_BYTES
    } else {
        REMOTE_TAIL_BYTES.min(size)
    };
    let end = read_one(file, size - first..size).await?;
    let tail: &[u8; 8] = end
        .last_chunk()
        .ok_or_else(|| Error::internal("the end of a file is shorter than asked for"))?;
    if tail[4..] != *MAGIC {
        let why = if &tail[4..] == b"PARE" {
            "its footer is encrypted"
        } else {
            "it does not end as a Parquet file does: it is cut off or of another kind"
        };
        return Err(fault::file_corrupt(file.name(), why));
    }
    let length = FooterTail::try_new(tail)
        .map_err(|error| fault::file_corrupt(file.name(), &error.to_string()))?
        .metadata_length() as u64;
    if length > METADATA_BYTES_MAX || length + TAIL_BYTES + MAGIC.len() as u64 > size {
        let why = format!("its footer claims {length} bytes of a file of {size}");
        return Err(fault::file_corrupt(file.name(), &why));
    }
    let start = size - TAIL_BYTES - length;
    let bytes = if length + TAIL_BYTES <= first {
        let skip = (first - TAIL_BYTES - length) as usize;
        end.slice(skip..skip + length as usize)
    } else {
        read_one(file, start..size - TAIL_BYTES).await?
    };
    decode(file.name(), size, &bytes)
}

async fn read_one(file: &mut PinnedFile, range: Range<u64>) -> Result<Bytes> {
    let mut bytes = file.read(vec![range]).await?;
    bytes
        .pop()
        .ok_or_else(|| Error::internal("a read gave nothing"))
}

/// Decodes, checks and cleans metadata; the decoder panics on some hostile input.
fn decode(name: &str, size: u64, bytes: &[u8]) -> Result<ParquetMetaData> {
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let metadata =
            ParquetMetaDataReader::decode_metadata(bytes).map_err(|error| error.to_string())?;
        check(&metadata, size)?;
        Ok::<_, String>(cleaned(metadata))
    }));
    match decoded {
        Ok(Ok(metadata)) => Ok(metadata),
        Ok(Err(why)) => Err(fault::file_corrupt(name, &why)),
        Err(panic) => Err(panicked(name, panic.as_ref())),
    }
}

fn panicked(name: &str, panic: &(dyn Any + Send)) -> Error {
    fault::decoder_panicked(name, panic)
}

/// What later stages take for granted, and some of them assert.
fn check(metadata: &ParquetMetaData, size: u64) -> Result<(), String> {
    let file = metadata.file_metadata();
    let leaves = file.schema_descr().num_columns();
    let mut rows = 0_i64;
    for group in metadata.row_groups() {
        if group.num_rows() < 0 || group.columns().len() != leaves {
            return Err("a row group in its footer does not fit its schema".to_owned());
        }
        rows = rows
            .checked_add(group.num_rows())
            .ok_or("its row count overflows")?;
        for chunk in group.columns() {
            let start = chunk
                .dictionary_page_offset()
                .unwrap_or(chunk.data_page_offset());
            let end = start.checked_add(chunk.compressed_size());
            let inside = end
                .and_then(|end| u64::try_from(end).ok())
                .is_some_and(|end| end <= size);
            if start < 0 || chunk.compressed_size() < 0 || chunk.data_page_offset() < 0 || !inside {
                return Err(format!(
                    "column \"{}\" lies outside of the file: it is cut off or damaged",
                    chunk.column_path()
                ));
            }
            check_nulls(chunk)?;
        }
    }
    if rows != file.num_rows() {
        return Err(format!(
            "its footer counts {} rows, its row groups {rows}",
            file.num_rows()
        ));
    }
    Ok(())
}

fn check_nulls(chunk: &ColumnChunkMetaData) -> Result<(), String> {
    let nulls = chunk.statistics().and_then(ChunkStatistics::null_count_opt);
    let values = u64::try_from(chunk.num_values()).map_err(|_| "a count of values is negative")?;
    if nulls.is_some_and(|nulls| nulls > values) {
        return Err(format!(
            "column \"{}\" counts more NULLs than values",
            chunk.column_path()
        ));
    }
    Ok(())
}

/// The metadata without misleading statistics; see the top of this file.
fn cleaned(metadata: ParquetMetaData) -> ParquetMetaData {
    let misleads = |chunk: &ColumnChunkMetaData| clean_chunk(chunk).is_some();
    if !metadata
        .row_groups()
        .iter()
        .any(|group| group.columns().iter().any(misleads))
    {
        return metadata;
    }
    let groups = metadata.row_groups().iter().map(clean_group).collect();
    metadata.into_builder().set_row_groups(groups).build()
}

fn clean_group(group: &RowGroupMetaData) -> RowGroupMetaData {
    let chunks = group
        .columns()
        .iter()
        .map(|chunk| clean_chunk(chunk).unwrap_or_else(|| chunk.clone()))
        .collect();
    let rebuilt = group
        .clone()
        .into_builder()
        .set_column_metadata(chunks)
        .build();
    // The number of columns is unchanged, which is all that build() looks at.
    rebuilt.unwrap_or_else(|_| group.clone())
}

/// The chunk with fewer statistics, or `None` if all of them can be trusted.
fn clean_chunk(chunk: &ColumnChunkMetaData) -> Option<ColumnChunkMetaData> {
    let statistics = chunk.statistics()?;
    let kept = match statistics {
        _ if lacks_null_count(chunk) || is_inverted(chunk, statistics) => None,
        ChunkStatistics::Int96(_) => None,
        ChunkStatistics::ByteArray(_) | ChunkStatistics::FixedLenByteArray(_)
            if statistics.is_min_max_deprecated() =>
        {
            None
        }
        ChunkStatistics::Float(values) if values.max_opt().is_some() => {
            Some(ChunkStatistics::float(
                values.min_opt().copied(),
                None,
                values.distinct_count(),
                values.null_count_opt(),
                false,
            ))
        }
        ChunkStatistics::Double(values) if values.max_opt().is_some() => {
            Some(ChunkStatistics::double(
                values.min_opt().copied(),
                None,
                values.distinct_count(),
                values.null_count_opt(),
                false,
            ))
        }
        _ => return None,
    };
    // Without its place the page index of this column is not read either.
    let builder = chunk
        .clone()
        .into_builder()
        .set_column_index_offset(None)
        .set_column_index_length(None);
    let builder = match kept {
        Some(kept) => builder.set_statistics(kept),
        None => builder.clear_statistics(),
    };
    builder.build().ok()
}

/// A column that can hold NULLs and does not say how many.
fn lacks_null_count(chunk: &ColumnChunkMetaData) -> bool {
    chunk.column_descr().max_def_level() > 0
        && chunk
            .statistics()
            .is_some_and(|statistics| statistics.null_count_opt().is_none())
}

/// Whether the lower bound is above the upper, in the order of the column.
fn is_inverted(chunk: &ColumnChunkMetaData, statistics: &ChunkStatistics) -> bool {
    fn above<T: PartialOrd>(min: Option<&T>, max: Option<&T>) -> bool {
        min.zip(max).is_some_and(|(min, max)| min > max)
    }
    let unsigned = chunk.column_descr().sort_order() == SortOrder::UNSIGNED;
    match statistics {
        ChunkStatistics::Boolean(s) => above(s.min_opt(), s.max_opt()),
        ChunkStatistics::Int32(s) if unsigned => above(
            s.min_opt().map(|n| *n as u32).as_ref(),
            s.max_opt().map(|n| *n as u32).as_ref(),
        ),
        ChunkStatistics::Int32(s) => above(s.min_opt(), s.max_opt()),
        ChunkStatistics::Int64(s) if unsigned => above(
            s.min_opt().map(|n| *n as u64).as_ref(),
            s.max_opt().map(|n| *n as u64).as_ref(),
        ),
        ChunkStatistics::Int64(s) => above(s.min_opt(), s.max_opt()),
        ChunkStatistics::Float(s) => above(s.min_opt(), s.max_opt()),
        ChunkStatistics::Double(s) => above(s.min_opt(), s.max_opt()),
        ChunkStatistics::ByteArray(_) | ChunkStatistics::FixedLenByteArray(_) if unsigned => above(
            statistics.min_bytes_opt().as_ref(),
            statistics.max_bytes_opt().as_ref(),
        ),
        _ => false,
    }
}

/// What a table needs of a file, from its (cleaned) metadata.
pub(super) fn summarize(name: &str, metadata: &ParquetMetaData) -> Result<Footer> {
    let summary = catch_unwind(AssertUnwindSafe(|| summary(metadata)));
    match summary {
        Ok(Ok(footer)) => Ok(footer),
        Ok(Err(why)) => Err(fault::file_corrupt(name, &why)),
        Err(panic) => Err(panicked(name, panic.as_ref())),
    }
}

fn summary(metadata: &ParquetMetaData) -> Result<Footer, String> {
    let file = metadata.file_metadata();
    let found = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())
        .map_err(|error| error.to_string())?;
    let coercer = Int96Coercer::new(file.schema_descr(), &found, &TimeUnit::Microsecond);
    let schema = merge::normalized(&coercer.coerce().unwrap_or(found));
    let mut seen = BTreeSet::new();
    if let Some(field) = schema
        .fields()
        .iter()
        .find(|field| !seen.insert(field.name()))
    {
        return Err(format!("it has two columns named \"{}\"", field.name()));
    }
    let mut statistics = DFParquetMetadata::statistics_from_parquet_metadata(metadata, &schema)
        .map_err(|error| error.to_string())?;
    let mut uncounted = Vec::new();
    for (field, column) in schema
        .fields()
        .iter()
        .zip(&mut statistics.column_statistics)
    {
        let known = known_of_column(metadata, field.name());
        keep_known(column, known, field.data_type());
        if known.uncounted {
            uncounted.push(field.name().clone());
        }
    }
    let rows = u64::try_from(file.num_rows()).map_err(|_| "its row count is negative")?;
    Ok(Footer {
        schema,
        rows,
        statistics: Arc::new(statistics),
        uncounted,
    })
}

/// Which statistics every row group has of a column.
#[derive(Debug, Clone, Copy)]
struct Known {
    nulls: bool,
    min: bool,
    max: bool,
    /// The writer left null counts out, as far as the cleaned metadata can tell.
    uncounted: bool,
}

fn known_of_column(metadata: &ParquetMetaData, name: &str) -> Known {
    let mut known = Known {
        nulls: true,
        min: true,
        max: true,
        uncounted: false,
    };
    let descriptor = metadata.file_metadata().schema_descr();
    let leaf = descriptor
        .columns()
        .iter()
        .position(|leaf| leaf.path().parts().len() == 1 && leaf.name() == name);
    let Some(leaf) = leaf else {
        return Known {
            nulls: false,
            min: false,
            max: false,
            uncounted: false,
        };
    };
    let nullable = descriptor.column(leaf).max_def_level() > 0;
    let is_int96 = descriptor.column(leaf).physical_type() == PhysicalType::INT96;
    for group in metadata
        .row_groups()
        .iter()
        .filter(|group| group.num_rows() > 0)
    {
        let statistics = group.column(leaf).statistics();
        let nulls = match statistics.and_then(ChunkStatistics::null_count_opt) {
            None if !nullable => Some(0),
            nulls => nulls,
        };
        let all_null = nulls == Some(group.num_rows().unsigned_abs());
        known.nulls &= nulls.is_some();
        known.min &= all_null || statistics.is_some_and(|s| s.min_bytes_opt().is_some());
        known.max &= all_null || statistics.is_some_and(|s| s.max_bytes_opt().is_some());
        known.uncounted |= nulls.is_none() && !is_int96;
    }
    known
}

/// Drops what not every row group vouches for: a bound of some row groups is none of the file.
fn keep_known(column: &mut ColumnStatistics, known: Known, data_type: &DataType) {
    if !known.nulls {
        column.null_count = Precision::Absent;
    }
    column.min_value = bound(&column.min_value, known.nulls && known.min, data_type);
    column.max_value = bound(&column.max_value, known.nulls && known.max, data_type);
    // Decimals in bytes are compared only now that they are values.
    let ends = column
        .min_value
        .get_value()
        .zip(column.max_value.get_value());
    if ends.is_some_and(|(min, max)| min.partial_cmp(max).is_none_or(Ordering::is_gt)) {
        column.min_value = Precision::Absent;
        column.max_value = Precision::Absent;
    }
    column.distinct_count = column.distinct_count.to_inexact();
    column.sum_value = Precision::Absent;
}

fn bound(
    value: &Precision<ScalarValue>,
    known: bool,
    data_type: &DataType,
) -> Precision<ScalarValue> {
    let null = value.get_value().is_none_or(ScalarValue::is_null);
    if !known || null {
        Precision::Absent
    } else if data_type.is_floating() {
        // A zero is written as -0.0 in a minimum: good for pruning, not as an answer.
        value.clone().to_inexact()
    } else {
        value.clone()
    }
}
