//! Customer Satisfaction Index: satisfaction with the aspects of an offer, weighted by how much each
//! one matters.
//!
//! Per attribute the mean satisfaction `S` and the mean importance `I`, then `100 · Σ w (S − min)/(max
//! − min)` with `w = I/ΣI`. Means first, then weights: weighting row by row differs as soon as those
//! who find something important judge it otherwise.

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::{Definition, Form, export_aggregate};
use crate::arguments::{doubles, finite, invalid_call, invalid_value, number, text, wrong_arity};
use crate::bag::{BagForm, BagMetric, Gathered};
use crate::distinct::KeyArgument;
use crate::measure::{first_arguments, optional};
use crate::precise::{FloatSum, squarable};
use crate::record::numbers;
use crate::satisfaction::cli::off_scale;

/// The aggregate `csi`.
#[user_doc(
    doc_section(label = "Satisfaction"),
    description = "Customer Satisfaction Index, 0 to 100: for each attribute the mean satisfaction, rescaled from scale_min..scale_max to 0..100, weighted by the attribute's mean importance. One row per customer and attribute. With the default scale 1 to 10 this is the rescaling of the ACSI; with scale_min = 0 it is the weighted mean x 10 of TLF and UKCSI. Rows where an argument is NULL are skipped; without rows, or where all importances are 0, the result is NULL. Satisfaction outside the scale, a negative importance, ends of the scale in the wrong order, NaN and infinity are errors. Source: ACSI methodology; TLF Research.",
    syntax_example = "csi(attribute, satisfaction, importance)",
    alternative_syntax = "csi(attribute, satisfaction, importance, scale_min)",
    alternative_syntax = "csi(attribute, satisfaction, importance, scale_min, scale_max)",
    sql_example = r"```sql
> SELECT round(csi(attribute, satisfaction, importance, scale_min => 0), 2) AS csi
  FROM (VALUES ('service', 8, 9), ('service', 6, 10), ('price', 5, 7), ('price', 7, 5), ('delivery', 9, 8))
       AS answers(attribute, satisfaction, importance);
+-------+
| csi   |
+-------+
| 74.26 |
+-------+
```",
    argument(name = "attribute", description = "The aspect that is judged, text."),
    argument(
        name = "satisfaction",
        description = "How satisfied the customer is with it."
    ),
    argument(
        name = "importance",
        description = "How much it matters to the customer, 0 or more."
    ),
    argument(
        name = "scale_min",
        description = "Lowest satisfaction, default 1; the same in all rows of a group."
    ),
    argument(
        name = "scale_max",
        description = "Highest satisfaction, default 10; the same in all rows of a group."
    )
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Csi;

export_aggregate!(Csi, csi, csi_udaf);

/// Lowest satisfaction where none is given.
const SCALE_MIN: f64 = 1.0;
/// Highest satisfaction where none is given.
const SCALE_MAX: f64 = 10.0;

const FORMS: &str = "csi(attribute, satisfaction, importance) or \
                     csi(attribute, satisfaction, importance, scale_min, scale_max)";

impl Definition for Csi {
    const NAME: &'static str = "csi";
    const PARAMETERS: &'static [&'static str] = &[
        "attribute",
        "satisfaction",
        "importance",
        "scale_min",
        "scale_max",
    ];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if !matches!(types.len(), 3..=5) {
            return wrong_arity(Self::NAME, FORMS, types.len());
        }
        let named = Self::PARAMETERS.iter().zip(types);
        named
            .map(|(name, given)| match *name {
                "attribute" => text(Self::NAME, name, given),
                name => number(Self::NAME, name, given),
            })
            .collect()
    }

    fn form(&self, types: &[DataType]) -> Result<Box<dyn Form>> {
        let metric = Aspects {
            arguments: types.len(),
            key: KeyArgument {
                position: 0,
                name: "attribute",
                data_type: types[0].clone(),
            },
        };
        Ok(Box::new(BagForm::new(metric)?))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Per attribute the rows, and the sums of satisfaction and importance.
#[derive(Debug, Clone)]
struct Aspects {
    arguments: usize,
    key: KeyArgument,
}

/// The columns of a batch.
#[derive(Debug)]
struct Columns<'a> {
    satisfaction: &'a Float64Array,
    importance: &'a Float64Array,
    min: Option<&'a Float64Array>,
    max: Option<&'a Float64Array>,
}

/// The scale in a group's constants.
fn ends([min, max]: [i64; 2]) -> (f64, f64) {
    (f64::from_bits(min as u64), f64::from_bits(max as u64))
}

impl BagMetric<2, 2> for Aspects {
    type Columns<'a> = Columns<'a>;

    const FUNCTION: &'static str = Csi::NAME;
    const CONSTANTS: [&'static str; 2] = ["scale_min", "scale_max"];
    const SUMS: [&'static str; 2] = ["satisfaction", "importance"];

    fn key(&self) -> Option<&KeyArgument> {
        Some(&self.key)
    }

    fn required(&self) -> &'static [usize] {
        first_arguments(self.arguments)
    }

    fn columns<'a>(&self, arguments: &'a [ArrayRef]) -> Result<Columns<'a>> {
        Ok(Columns {
            satisfaction: doubles(&arguments[1])?,
            importance: doubles(&arguments[2])?,
            min: optional(arguments, 3)?,
            max: optional(arguments, 4)?,
        })
    }

    #[inline]
    fn constants(&self, columns: &Columns<'_>, row: usize) -> Result<[i64; 2]> {
        let end = |column: Option<&Float64Array>, default: f64| {
            let end = column.map_or(default, |column| column.value(row));
            // The two zeros are one end.
            (end + 0.0).to_bits() as i64
        };
        Ok([end(columns.min, SCALE_MIN), end(columns.max, SCALE_MAX)])
    }

    fn check(&self, constants: [i64; 2]) -> Result<()> {
        let (min, max) = ends(constants);
        squarable(Csi::NAME, "scale_min", min)?;
        squarable(Csi::NAME, "scale_max", max)?;
        if min < max {
            return Ok(());
        }
        Err(invalid_call(
            Csi::NAME,
            format!("scale_min {min} must be below scale_max {max}; swap them or correct one"),
        ))
    }

    #[inline]
    fn item(
        &self,
        columns: &Columns<'_>,
        row: usize,
        constants: [i64; 2],
    ) -> Result<Option<(u64, i64, [f64; 2])>> {
        let (min, max) = ends(constants);
        let satisfaction = finite(Csi::NAME, "satisfaction", columns.satisfaction.value(row))?;
        if !(min..=max).contains(&satisfaction) {
            return Err(off_scale(Csi::NAME, "satisfaction", satisfaction, min, max));
        }
        let importance = squarable(Csi::NAME, "importance", columns.importance.value(row))?;
        if importance < 0.0 {
            return Err(invalid_value(
                Csi::NAME,
                format!("importance {importance} is negative; filter it or correct it"),
            ));
        }
        Ok(Some((0, 0, [satisfaction, importance])))
    }

    fn finish(&self, groups: &[Gathered<'_, 2, 2>]) -> Result<ArrayRef> {
        Ok(numbers(groups.iter().map(index)))
    }
}

fn index(group: &Gathered<'_, 2, 2>) -> Option<f64> {
    let (min, max) = ends(group.constants?);
    let (mut weighted, mut weights) = (FloatSum::default(), FloatSum::default());
    for attribute in group.entries {
        let rows = attribute.rows as f64;
        let [satisfaction, importance] = attribute.sums.map(|sum| sum.total() / rows);
        weighted.add_product(importance, (satisfaction - min) / (max - min));
        weights.add(importance);
    }
    let weights = weights.total();
    (weights > 0.0).then(|| 100.0 * (weighted.total() / weights))
}
