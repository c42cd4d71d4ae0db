//! The names behind `regclass`, `regtype`, `regproc` and their like, where a value of such a type is cast
//! to text or sent as text. The values are OIDs; a column of the catalog keeps its type in its field's
//! metadata.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, ScalarUDF};
use datafusion::optimizer::AnalyzerRule;

use super::casts::is_cast_to_text;
use super::semantics::rewrite_expressions;
use super::session::Session;
use crate::catalog::functions::object_name;
use crate::catalog::pg_type::PG_TYPE_METADATA;
use crate::catalog::{SessionFacts, SessionTables, SystemCatalog};
use crate::values::encode::{ObjectNames, TextStyle};
use crate::values::types::{PgType, names_objects};

/// The types and the functions that write their values.
const WRITERS: &[(&str, &str)] = &[
    ("regclass", "regclassout"),
    ("regnamespace", "regnamespaceout"),
    ("regoper", "regoperout"),
    ("regoperator", "regoperatorout"),
    ("regproc", "regprocout"),
    ("regprocedure", "regprocedureout"),
    ("regrole", "regroleout"),
    ("regtype", "regtypeout"),
];

/// The names that one session sees.
#[derive(Debug)]
struct Names {
    catalog: Arc<SystemCatalog>,
    session: SessionFacts,
}

impl ObjectNames for Names {
    fn name(&self, reg_type: PgType, oid: u32) -> Option<String> {
        object_name(&self.catalog, &self.session, reg_type.name, oid)
    }
}

impl Session {
    /// How values of a result look as text.
    pub fn text_style(&self, schema: &Schema) -> TextStyle {
        let style = self.settings().text_style();
        if !schema.fields().iter().any(|field| names_objects(field)) {
            return style;
        }
        let mut session = self.facts().facts();
        if self.shared.warehouse.is_some() {
            let database = Arc::clone(&self.shared.database);
            session.tables = Some(SessionTables::new(database, Arc::clone(&self.snapshot)));
        }
        let names = Names {
            catalog: self.shared.system(),
            session,
        };
        TextStyle {
            names: Some(Arc::new(names)),
            ..style
        }
    }
}

/// Casts of such values to text become calls of the functions that write them.
#[derive(Debug)]
pub(super) struct ShowObjectNames {
    writers: HashMap<&'static str, Arc<ScalarUDF>>,
}

impl ShowObjectNames {
    /// The rule over the functions that `state` holds.
    pub(super) fn new(state: &SessionState) -> Self {
        let known = state.scalar_functions();
        let writers = WRITERS
            .iter()
            .filter_map(|(pg_type, writer)| Some((*pg_type, Arc::clone(known.get(*writer)?))));
        Self {
            writers: writers.collect(),
        }
    }

    fn rewrite(&self, mut expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
        let operand = match &mut expr {
            Expr::Cast(Cast { expr, field }) if field.data_type().is_string() => {
                Some(expr.as_mut())
            }
            Expr::ScalarFunction(call) if is_cast_to_text(&call.func) => call.args.first_mut(),
            _ => None,
        };
        if let Some(operand) = operand
            && let Some(writer) = self.writer(operand, schema)
        {
            let value = std::mem::take(operand);
            *operand = Expr::ScalarFunction(ScalarFunction::new_udf(writer, vec![value]));
            return Transformed::yes(expr);
        }
        Transformed::no(expr)
    }

    fn writer(&self, operand: &Expr, schema: &DFSchema) -> Option<Arc<ScalarUDF>> {
        let (_, field) = operand.to_field(schema).ok()?;
        if *field.data_type() != DataType::UInt32 {
            return None;
        }
        let pg_type = field.metadata().get(PG_TYPE_METADATA)?;
        self.writers.get(pg_type.as_str()).map(Arc::clone)
    }
}

impl AnalyzerRule for ShowObjectNames {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, &|expr, schema| Ok(self.rewrite(expr, schema)))
    }

    fn name(&self) -> &'static str {
        "show_object_names"
    }
}
