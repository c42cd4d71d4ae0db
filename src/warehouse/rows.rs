//! Rows to take out of a table, by file and place; the other rows of their files are written again.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanArray, BooleanBufferBuilder};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::execution::SessionState;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;

use super::content::Content;
use super::names::Relation;
use super::{RowWriter, Warehouse};
use crate::error::{Error, Result};
use crate::storage::StoredFile;

/// The rows of one content that are to go. Takes one bit for each row of a file with such a row.
#[derive(Debug)]
pub struct Removal {
    content: Arc<Content>,
    /// By file: whether each row goes.
    marked: Vec<Option<BooleanBufferBuilder>>,
    rows: u64,
}

impl Removal {
    /// None of the rows of `content`.
    pub fn new(content: Arc<Content>) -> Self {
        let mut marked = Vec::new();
        marked.resize_with(content.files().len(), || None);
        Self {
            content,
            marked,
            rows: 0,
        }
    }

    /// Marks the row at a place of a file; whether it was not marked before.
    pub fn mark(&mut self, file: i64, place: i64) -> Result<bool> {
        let outside = || Error::internal("the address of a row is outside of its table");
        let file = usize::try_from(file).map_err(|_| outside())?;
        let place = usize::try_from(place).map_err(|_| outside())?;
        let stored = self.content.files().get(file).ok_or_else(outside)?;
        let slot = self.marked.get_mut(file).ok_or_else(outside)?;
        let marks = slot.get_or_insert_with(|| {
            let mut marks = BooleanBufferBuilder::new(0);
            marks.append_n(stored.rows() as usize, false);
            marks
        });
        if place >= marks.len() {
            return Err(outside());
        }
        if marks.get_bit(place) {
            return Ok(false);
        }
        marks.set_bit(place, true);
        self.rows += 1;
        Ok(true)
    }

    /// Rows that are marked.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The files without the marked rows: those that had none, and others for those that had. Runs on the
    /// query threads; `state` is the statement's.
    pub async fn apply(
        mut self,
        warehouse: &Warehouse,
        relation: &Relation,
        state: &SessionState,
    ) -> Result<Vec<StoredFile>> {
        let mut kept = Vec::new();
        let columns = Arc::clone(self.content.columns());
        let mut writer = warehouse.writer(relation, columns)?;
        for (file, marks) in self.content.files().iter().zip(&mut self.marked) {
            match marks.as_mut().map(BooleanBufferBuilder::finish) {
                None => kept.push(file.clone()),
                Some(marks) if marks.count_set_bits() == marks.len() => {}
                Some(marks) => {
                    let rewritten = self.content.rewrite(file, &marks, state, &mut writer).await;
                    if let Err(error) = rewritten {
                        writer.discard().await;
                        return Err(error);
                    }
                }
            }
        }
        kept.extend(writer.finish().await?);
        Ok(kept)
    }
}

impl Content {
    /// Writes the rows of a file that are not marked.
    async fn rewrite(
        &self,
        file: &StoredFile,
        marks: &BooleanBuffer,
        state: &SessionState,
        writer: &mut RowWriter,
    ) -> Result<()> {
        let table = self.addressed_of(std::slice::from_ref(file))?;
        let plan = table.scan(state, None, &[], None).await?;
        let mut rows = execute_stream(plan, state.task_ctx())?;
        let mut read = 0;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            read += batch.num_rows();
            writer.write(&without_marked(&batch, marks)?).await?;
        }
        match read == marks.len() {
            true => Ok(()),
            false => Err(Error::internal("a file was not read whole")),
        }
    }
}

/// The rows that are not marked, without their addresses.
fn without_marked(batch: &RecordBatch, marks: &BooleanBuffer) -> Result<RecordBatch> {
    let bad = || Error::internal("rows were read without their addresses");
    let own = batch.num_columns().checked_sub(2).ok_or_else(bad)?;
    let places = batch
        .column(own + 1)
        .as_primitive_opt::<Int64Type>()
        .ok_or_else(bad)?;
    if places.null_count() > 0 {
        return Err(bad());
    }
    let stays = |place: &i64| {
        let place = usize::try_from(*place)
            .ok()
            .filter(|place| *place < marks.len());
        place.map(|place| !marks.value(place)).ok_or_else(bad)
    };
    let stays: Vec<bool> = places.values().iter().map(stays).collect::<Result<_>>()?;
    let own: Vec<usize> = (0..own).collect();
    let rows = batch
        .project(&own)
        .and_then(|rows| filter_record_batch(&rows, &BooleanArray::from(stays)));
    rows.map_err(|error| Error::internal("rows could not be taken out").with_source(error))
}
