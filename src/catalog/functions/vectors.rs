//! Subscripts of int2vector and oidvector columns, which count from 0.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion::logical_expr::{ExprSchemable, GetFieldAccess, lit};

use super::lists::is_vector;

/// Plans `indkey[0]`; to be asked before the planner of other subscripts, which count from 1.
pub fn planner() -> Arc<dyn ExprPlanner> {
    Arc::new(VectorSubscripts)
}

#[derive(Debug)]
struct VectorSubscripts;

impl ExprPlanner for VectorSubscripts {
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let RawFieldAccessExpr { expr, field_access } = access;
        let field_access = match field_access {
            GetFieldAccess::ListIndex { key } => {
                let vector = matches!(expr.to_field(schema), Ok((_, field)) if is_vector(&field));
                let key = if vector {
                    Box::new(*key + lit(1_i32))
                } else {
                    key
                };
                GetFieldAccess::ListIndex { key }
            }
            other => other,
        };
        Ok(PlannerResult::Original(RawFieldAccessExpr {
            expr,
            field_access,
        }))
    }
}
