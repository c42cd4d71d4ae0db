//! The RFM code of a customer: recency, frequency and money scored 1 to 5 by rank, as '545'.
//!
//! Each digit is `quantile_score` of its argument within the partition. NULL if an argument is NULL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion_expr::{PartitionEvaluator, Signature, WindowUDFImpl};
use datafusion_macros::user_doc;

use crate::aggregate::signature;
use crate::arguments::wrong_arity;
use crate::segment::quantile_score::{DEFAULT_BUCKETS, quantile_scores, rankable};
use crate::window::export_window;

/// The window function `rfm_score`.
#[user_doc(
    doc_section(label = "Segments"),
    description = "RFM code of a customer within the partition, TEXT: three digits 1 to 5 for recency, frequency and money, 5 being best. Each digit is quantile_score of its argument. Pass the date of the last order, so that later is better; a number there counts as larger is better. NULL if an argument is NULL. Source: Hughes, Strategic Database Marketing; ties as in quantile_score.",
    syntax_example = "rfm_score(last_order, orders, amount) OVER (PARTITION BY …)",
    sql_example = r"```sql
> SELECT name, rfm_score(day, orders, amount) OVER () AS code
  FROM (VALUES ('ann', DATE '2024-03-01', 1, 10.0), ('bob', DATE '2024-01-01', 9, 90.0)) AS customers(name, day, orders, amount) ORDER BY name;
+------+------+
| name | code |
+------+------+
| ann  | 311  |
| bob  | 133  |
+------+------+
```",
    argument(
        name = "last_order",
        description = "Date or timestamp of the last order, one row per customer."
    ),
    argument(name = "orders", description = "Number of orders."),
    argument(name = "amount", description = "Money spent.")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct RfmScore {
    signature: Signature,
}

const NAME: &str = "rfm_score";
const PARAMETERS: [&str; 3] = ["last_order", "orders", "amount"];

impl Default for RfmScore {
    fn default() -> Self {
        Self {
            signature: signature(&PARAMETERS),
        }
    }
}

export_window!(RfmScore, rfm_score, rfm_score_udwf);

impl WindowUDFImpl for RfmScore {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.len() != PARAMETERS.len() {
            return wrong_arity(NAME, "rfm_score(last_order, orders, amount)", types.len());
        }
        let named = PARAMETERS.iter().zip(types);
        named
            .map(|(name, given)| rankable(NAME, name, given))
            .collect()
    }

    fn field(&self, arguments: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(
            arguments.name(),
            DataType::Utf8View,
            true,
        )))
    }

    fn partition_evaluator(
        &self,
        _arguments: PartitionEvaluatorArgs<'_>,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(RfmEvaluator))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

#[derive(Debug)]
struct RfmEvaluator;

impl PartitionEvaluator for RfmEvaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let scores = PARAMETERS.iter().zip(values);
        let scores = scores
            .map(|(name, values)| quantile_scores(NAME, name, values, DEFAULT_BUCKETS))
            .collect::<Result<Vec<_>>>()?;
        let mut codes = StringViewBuilder::with_capacity(num_rows);
        let mut code = String::new();
        for row in 0..num_rows {
            if scores.iter().any(|scores| scores.is_null(row)) {
                codes.append_null();
                continue;
            }
            code.clear();
            // Scores are single digits, because there are five buckets.
            code.extend(
                scores
                    .iter()
                    .map(|scores| char::from(b'0' + scores.value(row) as u8)),
            );
            codes.append_value(&code);
        }
        Ok(Arc::new(codes.finish()))
    }
}
