//! The one database: tables read in place and tables written here, beside the system's relations.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{CatalogProvider, MemTable, SchemaProvider, Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::snapshot::SEQUENCE_METADATA;
use crate::config::tables::{Notes, TableNotes};
use crate::error::Error;
use crate::sqlstate::SqlState;
use crate::storage::Lake;
use crate::warehouse::{Kind, Relation, Sequence, Staged, View, Warehouse};

/// Name of the schema whose tables tell where each of their rows is stored. They are named by the ids of
/// the tables; no statement of a client can name one.
pub const ROWS_SCHEMA: &str = "loyalhouse stored rows";

/// Name of the schema of the table of rows that a RETURNING reads; no statement of a client can name it.
pub const GIVEN_SCHEMA: &str = "loyalhouse given rows";

/// The database as DataFusion sees it.
#[derive(Debug, Clone)]
pub struct Database {
    lake: Arc<Lake>,
    written: Written,
    system: Arc<BTreeMap<String, Arc<dyn SchemaProvider>>>,
}

/// The tables that are written here.
#[derive(Debug, Clone)]
enum Written {
    /// None: there is no warehouse folder.
    None,
    /// Those that are committed when they are asked for.
    Committed(Arc<Warehouse>),
    /// Those that one statement sees.
    Seen(Arc<View>),
}

impl Database {
    /// The schemas of `lake` and `warehouse` and, by name, those of the system.
    pub fn new(
        lake: Arc<Lake>,
        warehouse: Option<Arc<Warehouse>>,
        system: BTreeMap<String, Arc<dyn SchemaProvider>>,
    ) -> Self {
        Self {
            lake,
            written: warehouse.map_or(Written::None, Written::Committed),
            system: Arc::new(system),
        }
    }

    /// The database as one statement sees it.
    #[must_use]
    pub fn seen(&self, view: Arc<View>) -> Self {
        Self {
            written: Written::Seen(view),
            ..self.clone()
        }
    }

    /// The tables that are written here, if there is a warehouse folder.
    pub fn view(&self) -> Option<Arc<View>> {
        match &self.written {
            Written::None => None,
            Written::Committed(warehouse) => {
                let nothing = Arc::new(Staged::default());
                Some(Arc::new(warehouse.view(Arc::clone(&nothing), nothing)))
            }
            Written::Seen(view) => Some(Arc::clone(view)),
        }
    }

    /// What is told of tables: of those read in place by the configuration, of the others by who made them.
    pub fn notes(&self, configured: &Notes) -> Notes {
        let mut notes = configured.clone();
        for relation in self.view().iter().flat_map(|view| view.relations()) {
            if relation.notes != TableNotes::default() {
                let name = format!("{}.{}", relation.schema, relation.name);
                notes.insert(name, relation.notes.clone());
            }
        }
        notes
    }

    /// Names of the schemas that are not the system's.
    pub fn user_schemas(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self.lake.schema_names().into_iter().collect();
        names.extend(self.view().iter().flat_map(|view| view.schemas()));
        names
    }

    /// Names of the tables and views of a schema that is not the system's.
    pub fn relation_names(&self, schema: &str) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self.lake.table_names(schema).into_iter().collect();
        names.extend(
            self.view()
                .iter()
                .flat_map(|view| view.relation_names(schema)),
        );
        let sequences = self.view().into_iter().flat_map(|view| view.sequences());
        let own = sequences.filter(|(of, _)| of == schema);
        names.extend(own.map(|(_, sequence)| sequence.name));
        names
    }
}

impl CatalogProvider for Database {
    fn schema_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.user_schemas().into_iter().collect();
        names.extend(self.system.keys().cloned());
        names
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if let Some(schema) = self.system.get(name) {
            return Some(Arc::clone(schema));
        }
        if name == ROWS_SCHEMA {
            return Some(Arc::new(StoredRows(self.view()?)));
        }
        if name == GIVEN_SCHEMA {
            return Some(Arc::new(GivenRows(self.view()?)));
        }
        self.user_schemas().contains(name).then(|| {
            Arc::new(UserSchema {
                database: self.clone(),
                name: name.to_owned(),
            }) as _
        })
    }
}

/// One schema of users. A table that is written here hides one that is read in place.
#[derive(Debug)]
struct UserSchema {
    database: Database,
    name: String,
}

#[async_trait]
impl SchemaProvider for UserSchema {
    fn table_names(&self) -> Vec<String> {
        let names = self.database.relation_names(&self.name);
        names.into_iter().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(view) = self.database.view()
            && let Some(relation) = view.relation(&self.name, name)
        {
            if relation.kind == Kind::View || !relation.populated {
                return Ok(Some(Arc::new(ShownView::new(relation))));
            }
            let content = view.content(&relation).await?;
            return Ok(Some(Arc::clone(content.provider())));
        }
        if let Some(view) = self.database.view()
            && let Some(sequence) = view.sequence(&self.name, name)
        {
            return Ok(Some(shown_sequence(&view, &sequence)?));
        }
        Ok(self.database.lake.table(&self.name, name).await?)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.database.relation_names(&self.name).contains(name)
    }
}

/// The one row of a sequence.
fn shown_sequence(view: &View, sequence: &Sequence) -> Result<Arc<dyn TableProvider>> {
    let (last, is_called) = view.warehouse().last_number(sequence)?;
    let is_sequence = (SEQUENCE_METADATA.to_owned(), String::new());
    let columns = Schema::new_with_metadata(
        vec![
            Field::new("last_value", DataType::Int64, false),
            Field::new("log_cnt", DataType::Int64, false),
            Field::new("is_called", DataType::Boolean, false),
        ],
        [is_sequence].into(),
    );
    let columns = Arc::new(columns);
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![last])),
        Arc::new(Int64Array::from(vec![0])),
        Arc::new(BooleanArray::from(vec![is_called])),
    ];
    let row = RecordBatch::try_new(Arc::clone(&columns), arrays)?;
    Ok(Arc::new(MemTable::try_new(columns, vec![vec![row]])?))
}

impl UserSchema {
    /// The query of a materialized view, and whether it was ever run.
    fn materialized(&self, name: &str) -> Option<(Option<String>, bool)> {
        let relation = self.database.view()?.relation(&self.name, name)?;
        let is_it = relation.kind == Kind::MaterializedView;
        let query = relation.definition.as_deref().and_then(query_text);
        is_it.then_some((query, relation.populated))
    }
}

/// The query of a materialized view in a schema, and whether it was ever run.
pub(super) fn materialized(
    schema: &dyn SchemaProvider,
    name: &str,
) -> Option<(Option<String>, bool)> {
    let schema: &dyn Any = schema;
    schema.downcast_ref::<UserSchema>()?.materialized(name)
}

/// A view as the catalog shows it. Queries never scan it: its own query stands in its place. So is a
/// materialized view without rows shown, and a query that scans it fails.
#[derive(Debug)]
struct ShownView {
    columns: SchemaRef,
    query: Option<String>,
    unpopulated: Option<String>,
}

impl ShownView {
    fn new(view: Arc<Relation>) -> Self {
        let columns = view.columns.clone();
        Self {
            columns: columns.unwrap_or_else(|| Arc::new(Schema::empty())),
            query: view.definition.as_deref().and_then(query_text),
            unpopulated: (!view.populated).then(|| view.name.clone()),
        }
    }
}

/// The query in a CREATE VIEW statement, as it was written.
fn query_text(statement: &str) -> Option<String> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, statement)
        .tokenize_with_location()
        .ok()?;
    let mut depth = 0;
    let at = tokens.iter().position(|token| {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        depth == 0 && matches!(&token.token, Token::Word(word) if word.keyword == Keyword::AS)
    })?;
    let rest = tokens
        .get(at + 1..)?
        .iter()
        .map(|token| token.token.to_string());
    let query: String = rest.collect();
    Some(format!(
        " {};",
        query.trim().trim_end_matches(';').trim_end()
    ))
}

#[async_trait]
impl TableProvider for ShownView {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.columns)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_table_definition(&self) -> Option<&str> {
        self.query.as_deref()
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(match &self.unpopulated {
            Some(name) => Error::new(
                SqlState::ObjectNotInPrerequisiteState,
                format!("materialized view \"{name}\" has not been populated"),
            )
            .with_hint("Use the REFRESH MATERIALIZED VIEW command."),
            None => Error::internal("a view was scanned"),
        }
        .into())
    }
}

/// The rows that were given to a statement, under any name.
#[derive(Debug)]
struct GivenRows(Arc<View>);

#[async_trait]
impl SchemaProvider for GivenRows {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, _: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.0.given().cloned())
    }

    fn table_exist(&self, _: &str) -> bool {
        self.0.given().is_some()
    }
}

/// The tables with the addresses of their rows, by id.
#[derive(Debug)]
struct StoredRows(Arc<View>);

#[async_trait]
impl SchemaProvider for StoredRows {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, id: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(relation) = self.0.relation_by_id(id) else {
            return Ok(None);
        };
        let content = self.0.content(&relation).await?;
        Ok(Some(content.addressed()?))
    }

    fn table_exist(&self, id: &str) -> bool {
        self.0.relation_by_id(id).is_some()
    }
}
