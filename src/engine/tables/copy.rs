//! COPY … FROM STDIN: rows of a client, added to a table.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::sql::sqlparser::ast::{self, CopySource, CopyTarget, Ident, ObjectName};
use futures::{Stream, StreamExt};

use super::assign::{TextLimits, value_field};
use super::{TableStatement, syntax, write_all};
use crate::auth::privilege::Privilege;
use crate::engine::command::Completion;
use crate::engine::control::StatementControl;
use crate::engine::session::{Columns, CopyRequest, Session};
use crate::error::{Error, Result};
use crate::warehouse::{Content, Kind, Operation, Relation};

/// A prepared COPY … FROM STDIN.
#[derive(Debug)]
pub(in crate::engine) struct Copy {
    table: ObjectName,
    named: Vec<ObjectName>,
    request: CopyRequest,
}

/// A COPY that waits for its rows.
#[derive(Debug)]
pub struct CopyInto {
    /// The table, as errors name it.
    pub table: String,
    /// The columns that the client sends.
    pub columns: Columns,
    /// The options as written.
    pub request: CopyRequest,
    relation: Arc<Relation>,
    base: Arc<Content>,
    places: Vec<usize>,
    /// The DEFAULT of each column that is not sent.
    defaults: Vec<Option<Arc<dyn PhysicalExpr>>>,
}

type CopyStatement = (
    CopySource,
    CopyTarget,
    Vec<ast::CopyOption>,
    Vec<ast::CopyLegacyOption>,
);

impl Session {
    pub(in crate::engine) fn prepare_copy(
        &self,
        (source, target, options, legacy): CopyStatement,
    ) -> Result<TableStatement> {
        if target != CopyTarget::Stdin && target != CopyTarget::Stdout {
            return Err(Error::insufficient_privilege(
                "COPY from a file or program of the server is not allowed",
            )
            .with_hint("Use COPY … FROM STDIN, or psql's \\copy."));
        }
        let CopySource::Table {
            table_name,
            columns,
        } = source
        else {
            return Err(Error::syntax_error("COPY query is only available with TO"));
        };
        self.written(&table_name)?;
        let named = |column: &Ident| ObjectName::from(vec![column.clone()]);
        Ok(TableStatement::Copy(Box::new(Copy {
            table: table_name,
            named: columns.iter().map(named).collect(),
            request: CopyRequest { options, legacy },
        })))
    }

    pub(in crate::engine) async fn begin_copy(
        &mut self,
        copy: &Copy,
        control: &Arc<StatementControl>,
    ) -> Result<CopyInto> {
        self.check_writable("COPY FROM")?;
        let relation = self.written(&copy.table)?;
        if relation.kind == Kind::View {
            return Err(Error::wrong_object_type(format!(
                "cannot copy to view \"{}\"",
                relation.name
            )));
        }
        self.check_no_refresh(&relation)?;
        self.check_privilege(&relation, Privilege::Insert)?;
        self.hold_stopping(&relation, control).await?;
        let base = self.content_to_change(&relation).await?;
        let table = base.columns();
        let places = syntax::target_places(&relation.name, table, &copy.named)?;
        let sent: Vec<_> = places.iter().map(|at| table.field(*at)).collect();
        let names = sent.iter().map(|field| field.name().clone()).collect();
        let fields = sent
            .iter()
            .map(|field| value_field(field).as_ref().clone().with_name(field.name()));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let mut defaults = Vec::with_capacity(table.fields().len());
        for (place, field) in table.fields().iter().enumerate() {
            defaults.push(match places.contains(&place) {
                true => None,
                false => Some(self.computed_default(field, control).await?),
            });
        }
        Ok(CopyInto {
            table: relation.name.clone(),
            columns: Columns { schema, names },
            request: copy.request.clone(),
            relation,
            base,
            places,
            defaults,
        })
    }

    /// The DEFAULT of a column, to be computed for each row. All of a COPY's rows are of one moment, but a
    /// number of a sequence or a random value is each row's own.
    async fn computed_default(
        &self,
        field: &Field,
        control: &Arc<StatementControl>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let expr = self.default_value(field, control).await?;
        let state = self.shared.session_state(self.facts());
        Ok(state.create_physical_expr(expr, &DFSchema::empty())?)
    }

    /// Adds the rows that a client sends; what is added is staged.
    pub async fn copy_rows(
        &mut self,
        copy: CopyInto,
        rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
        control: &Arc<StatementControl>,
    ) -> Result<Completion> {
        let columns = Arc::clone(copy.base.columns());
        let warehouse = self.warehouse()?;
        let writer = warehouse.writer(&copy.relation, Arc::clone(&columns))?;
        let (relation, base) = (Arc::clone(&copy.relation), Arc::clone(&copy.base));
        let limits = TextLimits::of(&columns);
        let rows = rows.map(move |batch| limits.apply(copy.completed(&batch?)?));
        let control = Arc::clone(control);
        let written = self
            .shared
            .workers
            .query(async move { write_all(rows.boxed(), writer, &control).await });
        let (added, count) = written.await?;
        if count > 0 {
            let files = base.files().iter().cloned().chain(added).collect();
            let now = warehouse.content_of(&relation, columns, files, Some(base.as_ref()))?;
            self.stage(|staged| {
                staged.set_content(&relation.id, Some(base), now, Operation::Append);
            });
        }
        Ok(Completion::tag(&format!("COPY {count}")))
    }
}

impl CopyInto {
    /// The rows with the columns that were not sent, in the order of the table.
    fn completed(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns: &SchemaRef = self.base.columns();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let unbuilt = |error| Error::internal("copied rows were not completed").with_source(error);
        let rows =
            RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options);
        let rows = rows.map_err(unbuilt)?;
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.fields().len());
        for (place, default) in self.defaults.iter().enumerate() {
            let sent = self.places.iter().position(|at| *at == place);
            arrays.push(match (sent, default) {
                (Some(at), _) => Arc::clone(batch.column(at)),
                (None, Some(default)) => default.evaluate(&rows)?.into_array(batch.num_rows())?,
                (None, None) => return Err(Error::internal("a column has no value")),
            });
        }
        let names = columns
            .fields()
            .iter()
            .zip(&arrays)
            .map(|(field, array)| Field::new(field.name(), array.data_type().clone(), true));
        let schema = Arc::new(Schema::new(names.collect::<Vec<_>>()));
        RecordBatch::try_new_with_options(schema, arrays, &options).map_err(unbuilt)
    }
}
