//! The result of one statement on standard output: as a table, CSV, JSON lines or Parquet.
//!
//! Results are streams: whatever the format, a bounded number of rows is in memory at a time.
//! Values read as PostgreSQL would write them, points in time in UTC.

mod delimited;
mod json;
mod table;
mod text;

use std::io::{self, Write};

use clap::ValueEnum;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use self::table::Table;
use self::text::Cells;
use crate::error::Error;

/// Rows per row group of a Parquet result; one group is in memory.
const PARQUET_ROWS_PER_GROUP: usize = 131_072;

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// Aligned columns for people, as psql prints them.
    #[default]
    Table,
    /// Comma-separated values with a header (RFC 4180 quoting, LF line ends); NULL is nothing, an
    /// empty text is "".
    Csv,
    /// One JSON object per line (NDJSON).
    Json,
    /// A Parquet file.
    Parquet,
}

/// Writes all rows of the stream and returns their number.
///
/// `terminal` says that `out` is a terminal, to which no Parquet is written (42809). Errors of the
/// stream pass through; those of `out` are 58030 with the [`io::Error`] as cause, also when the
/// reader of a pipe has gone ([`io::ErrorKind::BrokenPipe`]). `out` is flushed.
pub async fn write_result(
    stream: SendableRecordBatchStream,
    format: OutputFormat,
    terminal: bool,
    out: &mut (dyn Write + Send),
) -> Result<u64> {
    match format {
        OutputFormat::Table => write_text(stream, Table::new(), out).await,
        OutputFormat::Csv => write_text(stream, delimited::Csv, out).await,
        OutputFormat::Json => write_text(stream, json::Lines::new(), out).await,
        OutputFormat::Parquet if terminal => Err(Error::wrong_object_type(
            "cannot write Parquet to a terminal",
        )
        .with_hint("Redirect the output to a file, or choose another format.")
        .into()),
        OutputFormat::Parquet => write_parquet(stream, out).await,
    }
}

/// A textual format: what it appends for the head, each batch and the foot.
trait TextFormat {
    fn head(&mut self, schema: &SchemaRef, text: &mut String);

    fn rows(&mut self, columns: &[Cells<'_>], rows: usize, text: &mut String) -> Result<()>;

    fn foot(&mut self, rows: u64, text: &mut String);
}

async fn write_text(
    mut stream: SendableRecordBatchStream,
    mut format: impl TextFormat + Send,
    out: &mut (dyn Write + Send),
) -> Result<u64> {
    let mut text = String::new();
    let mut rows = 0;
    format.head(&stream.schema(), &mut text);
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        append_rows(&mut format, &batch, &mut text)?;
        rows += batch.num_rows() as u64;
        out.write_all(text.as_bytes()).map_err(write_failure)?;
        text.clear();
    }
    format.foot(rows, &mut text);
    out.write_all(text.as_bytes()).map_err(write_failure)?;
    out.flush().map_err(write_failure)?;
    Ok(rows)
}

fn append_rows(format: &mut impl TextFormat, batch: &RecordBatch, text: &mut String) -> Result<()> {
    let columns: Result<Vec<_>> = batch
        .columns()
        .iter()
        .map(|column| Cells::new(column.as_ref()))
        .collect();
    format.rows(&columns?, batch.num_rows(), text)
}

async fn write_parquet(
    mut stream: SendableRecordBatchStream,
    out: &mut (dyn Write + Send),
) -> Result<u64> {
    let schema = stream.schema();
    if schema.fields().is_empty() {
        return Err(Error::wrong_object_type("a result without columns is no Parquet file").into());
    }
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(PARQUET_ROWS_PER_GROUP))
        .build();
    let mut writer =
        ArrowWriter::try_new(out, schema, Some(properties)).map_err(parquet_failure)?;
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        writer.write(&batch).map_err(parquet_failure)?;
        rows += batch.num_rows() as u64;
    }
    writer.finish().map_err(parquet_failure)?;
    // Not through into_inner, which loses the kind of an I/O error.
    writer.sync().map_err(write_failure)?;
    Ok(rows)
}

fn write_failure(error: io::Error) -> DataFusionError {
    Error::io_error("could not write the result")
        .with_source(error)
        .into()
}

fn parquet_failure(error: ParquetError) -> DataFusionError {
    match error {
        ParquetError::NYI(_) => {
            Error::feature_not_supported("a column of the result has a type that Parquet has not")
                .with_hint("Cast it to text.")
                .with_source(error)
                .into()
        }
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => write_failure(*error),
            Err(source) => Error::io_error("could not write the result")
                .with_source(source)
                .into(),
        },
        error => Error::io_error("could not write the result")
            .with_source(error)
            .into(),
    }
}

#[cfg(test)]
#[expect(clippy::cloned_ref_to_slice_refs, reason = "a list of one batch")]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{
        ArrayRef, BooleanArray, Int32Array, IntervalMonthDayNanoArray, StringArray,
        TimestampMicrosecondArray,
    };
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;
    use crate::sqlstate::SqlState;

    fn people() -> RecordBatch {
        let moments = TimestampMicrosecondArray::from(vec![Some(1_706_695_200_000_000), None]);
        RecordBatch::try_from_iter([
            (
                "name",
                Arc::new(StringArray::from(vec!["Anna", ""])) as ArrayRef,
            ),
            ("score", Arc::new(Int32Array::from(vec![Some(9), None]))),
            ("member", Arc::new(BooleanArray::from(vec![true, false]))),
            ("seen", Arc::new(moments.with_timezone("Europe/Berlin"))),
        ])
        .unwrap()
    }

    fn stream(schema: &SchemaRef, batches: Vec<Result<RecordBatch>>) -> SendableRecordBatchStream {
        let batches = futures::stream::iter(batches);
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), batches))
    }

    fn written(batches: &[RecordBatch], format: OutputFormat) -> Result<(u64, Vec<u8>)> {
        let input = stream(
            &batches[0].schema(),
            batches.iter().cloned().map(Ok).collect(),
        );
        let mut out = Vec::new();
        let rows = futures::executor::block_on(write_result(input, format, false, &mut out))?;
        Ok((rows, out))
    }

    fn text(batches: &[RecordBatch], format: OutputFormat) -> String {
        String::from_utf8(written(batches, format).unwrap().1).unwrap()
    }

    fn state(error: DataFusionError) -> SqlState {
        match error {
            DataFusionError::External(error) => error.downcast::<Error>().unwrap().state(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn table_of_all_batches() {
        let expected = concat!(
            " name | score | member |          seen          \n",
            "------+-------+--------+------------------------\n",
            " Anna |     9 | t      | 2024-01-31 10:00:00+00\n",
            "      |       | f      | \n",
            " Anna |     9 | t      | 2024-01-31 10:00:00+00\n",
            "      |       | f      | \n",
            "(4 rows)\n",
        );
        assert_eq!(text(&[people(), people()], OutputFormat::Table), expected);
    }

    #[test]
    fn csv_of_all_batches() {
        let expected = "\
name,score,member,seen
Anna,9,t,2024-01-31 10:00:00+00
\"\",,f,
Anna,9,t,2024-01-31 10:00:00+00
\"\",,f,
";
        assert_eq!(text(&[people(), people()], OutputFormat::Csv), expected);
    }

    #[test]
    fn json_of_all_batches() {
        let expected = "\
{\"name\":\"Anna\",\"score\":9,\"member\":true,\"seen\":\"2024-01-31T10:00:00+00:00\"}
{\"name\":\"\",\"score\":null,\"member\":false,\"seen\":null}
";
        assert_eq!(text(&[people()], OutputFormat::Json), expected);
    }

    #[test]
    fn parquet_of_all_batches() {
        let (rows, file) = written(&[people(), people()], OutputFormat::Parquet).unwrap();
        assert_eq!(rows, 4);
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(file)).unwrap();
        let read: Vec<_> = reader
            .build()
            .unwrap()
            .map(|batch| batch.unwrap())
            .collect();
        let read = datafusion::arrow::compute::concat_batches(&read[0].schema(), &read).unwrap();
        assert_eq!(read.slice(2, 2), people());
        assert_eq!(read.num_rows(), 4);
    }

    #[test]
    fn empty_results_have_their_columns() {
        let schema = people().schema();
        let empty = RecordBatch::new_empty(schema);
        assert_eq!(
            text(&[empty.clone()], OutputFormat::Csv),
            "name,score,member,seen\n"
        );
        assert_eq!(text(&[empty.clone()], OutputFormat::Json), "");
        let table = text(&[empty.clone()], OutputFormat::Table);
        assert!(
            table.ends_with("(0 rows)\n") && table.starts_with(" name | score |"),
            "{table}"
        );
        let (rows, file) = written(&[empty], OutputFormat::Parquet).unwrap();
        assert_eq!(rows, 0);
        assert!(ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(file)).is_ok());
    }

    #[test]
    fn parquet_is_kept_from_terminals() {
        let input = stream(&people().schema(), vec![]);
        let mut out = Vec::new();
        let future = write_result(input, OutputFormat::Parquet, true, &mut out);
        let error = futures::executor::block_on(future).unwrap_err();
        assert_eq!(state(error), SqlState::WrongObjectType);
        assert!(out.is_empty());
    }

    #[test]
    fn types_unknown_to_parquet_are_an_error() {
        let intervals: ArrayRef = Arc::new(IntervalMonthDayNanoArray::from(vec![None]));
        let batch = RecordBatch::try_from_iter([("gap", intervals)]).unwrap();
        let error = written(&[batch], OutputFormat::Parquet).unwrap_err();
        assert_eq!(state(error), SqlState::FeatureNotSupported);
    }

    #[test]
    fn errors_of_the_stream_pass_through() {
        for format in OutputFormat::value_variants() {
            let failed = DataFusionError::from(Error::query_canceled("canceling statement"));
            let input = stream(&people().schema(), vec![Ok(people()), Err(failed)]);
            let mut out = Vec::new();
            let future = write_result(input, *format, false, &mut out);
            let error = futures::executor::block_on(future).unwrap_err();
            assert_eq!(state(error), SqlState::QueryCanceled, "{format:?}");
        }
    }

    /// A pipe whose reader has gone.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_recognisable() {
        for format in OutputFormat::value_variants() {
            let input = stream(&people().schema(), vec![Ok(people())]);
            let mut closed = Closed;
            let future = write_result(input, *format, false, &mut closed);
            let error = futures::executor::block_on(future).unwrap_err();
            let DataFusionError::External(error) = error else {
                panic!("{error:?}")
            };
            let cause = error
                .source()
                .and_then(|cause| cause.downcast_ref::<io::Error>());
            assert_eq!(
                cause.map(io::Error::kind),
                Some(io::ErrorKind::BrokenPipe),
                "{format:?}"
            );
        }
    }

    #[test]
    fn names_of_formats_are_lower_case() {
        assert_eq!(OutputFormat::from_str("csv", false), Ok(OutputFormat::Csv));
        assert_eq!(
            OutputFormat::from_str("parquet", false),
            Ok(OutputFormat::Parquet)
        );
    }
}
