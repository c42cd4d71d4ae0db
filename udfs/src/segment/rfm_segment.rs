//! The segment of a customer from its RFM scores: champion, at risk, lost…
//!
//! Two maps dominate in practice and give different labels, so that the number of scores or an
//! explicit name chooses: *grid10* by recency and frequency (ten segments, 25 cells), *codes11* by
//! all three scores (eleven segments, 125 codes). Both are complete and free of overlap. NULL if
//! any argument is NULL. Sources: the R×F map and the code table published in many notebooks.

use arrow::array::{Array, ArrayRef, Int8Array, Int64Array, StringViewArray};
use arrow::buffer::NullBuffer;
use arrow::compute;
use arrow::datatypes::{DataType, Int64Type};
use datafusion_common::cast::as_string_view_array;
use datafusion_common::{DataFusionError, Result};
use datafusion_doc::Documentation;
use datafusion_macros::user_doc;

use crate::aggregate::for_each_row;
use crate::arguments::{invalid_call, invalid_value, primitive, text, whole_number, wrong_arity};
use crate::scalar::{ScalarDefinition, export_scalar};

/// The scalar function `rfm_segment`.
#[user_doc(
    doc_section(label = "Segments"),
    description = "Name of the RFM segment for scores 1 to 5, where 5 is best. Two scores use the map 'grid10', three the map 'codes11'; the fourth argument names the map. Segments: Champions, Loyal Customers, Potential Loyalists, New Customers, Promising, Need Attention, About To Sleep, At Risk, Cannot Lose Them, Hibernating, and in codes11 Lost. NULL if an argument is NULL. A score outside 1 to 5 and an unknown map are errors. Source: the recency x frequency map and the 125-code table in wide public use; the maps give different labels, so state which one was used.",
    syntax_example = "rfm_segment(r, f)",
    alternative_syntax = "rfm_segment(r, f, m)",
    alternative_syntax = "rfm_segment(r, f, m, map)",
    sql_example = r"```sql
> SELECT rfm_segment(4, 5) AS grid10, rfm_segment(4, 5, 3) AS codes11, rfm_segment(4, 5, 3, 'grid10') AS named;
+-----------------+---------------------+-----------------+
| grid10          | codes11             | named           |
+-----------------+---------------------+-----------------+
| Loyal Customers | Potential Loyalists | Loyal Customers |
+-----------------+---------------------+-----------------+
```",
    argument(name = "r", description = "Recency score, 5 for the most recent."),
    argument(name = "f", description = "Frequency score."),
    argument(name = "m", description = "Money score."),
    argument(name = "map", description = "'grid10' or 'codes11'.")
)]
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RfmSegment;

export_scalar!(RfmSegment, rfm_segment, rfm_segment_udf);

impl ScalarDefinition for RfmSegment {
    const NAME: &'static str = "rfm_segment";
    const PARAMETERS: &'static [&'static str] = &["r", "f", "m", "map"];

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if !matches!(types.len(), 2..=4) {
            let forms = "rfm_segment(r, f), rfm_segment(r, f, m) or rfm_segment(r, f, m, map)";
            return wrong_arity(Self::NAME, forms, types.len());
        }
        let named = Self::PARAMETERS.iter().zip(types);
        named
            .map(|(name, given)| match *name {
                "map" => text(Self::NAME, name, given),
                score => whole_number(Self::NAME, score, given),
            })
            .collect()
    }

    fn return_type(&self) -> DataType {
        DataType::Utf8View
    }

    fn evaluate(&self, arguments: &[ArrayRef]) -> Result<ArrayRef> {
        let rows = arguments[0].len();
        let nulls = NullBuffer::union_many(arguments.iter().map(Array::nulls));
        let scores = arguments
            .iter()
            .take(3)
            .map(primitive::<Int64Type>)
            .collect::<Result<Vec<_>>>()?;
        let maps = arguments
            .get(3)
            .map(|map| as_string_view_array(map))
            .transpose()?;
        let mut segments = vec![0_i8; rows];
        for_each_row(nulls.as_ref(), rows, |row| {
            let map = match maps {
                Some(maps) => Map::named(maps.value(row))?,
                None if scores.len() == 2 => Map::Grid10,
                None => Map::Codes11,
            };
            segments[row] = segment_at(map, &scores, row)?;
            Ok(())
        })?;
        let labels = StringViewArray::from_iter_values(SEGMENTS.map(|(_, label)| label));
        Ok(compute::take(
            &labels,
            &Int8Array::new(segments.into(), nulls),
            None,
        )?)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Each segment with the letter that the maps use for it.
const SEGMENTS: [(u8, &str); 11] = [
    (b'C', "Champions"),
    (b'L', "Loyal Customers"),
    (b'P', "Potential Loyalists"),
    (b'N', "New Customers"),
    (b'O', "Promising"),
    (b'A', "Need Attention"),
    (b'S', "About To Sleep"),
    (b'R', "At Risk"),
    (b'X', "Cannot Lose Them"),
    (b'H', "Hibernating"),
    (b'Z', "Lost"),
];

/// One row per recency 1 to 5, one letter per frequency 1 to 5.
const GRID10: [&[u8; 5]; 5] = [b"HHRRX", b"HHRRX", b"SSALL", b"OPPLL", b"NPPCC"];

/// One row per recency, one column per frequency, one letter per money score.
const CODES11: [[&[u8; 5]; 5]; 5] = [
    [b"ZZXXX", b"ZHHRR", b"ZHRRR", b"ZRRXR", b"ZRRXX"],
    [b"HHSXX", b"SHHRR", b"SHHRR", b"SRRRR", b"SRRRR"],
    [b"NSOOO", b"SHPAA", b"SHPAL", b"PPALL", b"PPPLL"],
    [b"NNOOO", b"NNPOO", b"PPPAL", b"PPALC", b"PPPCC"],
    [b"NNOOO", b"OOOOO", b"PPPAA", b"PPLCC", b"PPPCC"],
];

/// Which segment a combination of scores is.
#[derive(Debug, Clone, Copy)]
enum Map {
    Grid10,
    Codes11,
}

impl Map {
    fn named(name: &str) -> Result<Self> {
        match name {
            "grid10" => Ok(Self::Grid10),
            "codes11" => Ok(Self::Codes11),
            other => Err(invalid_call(
                RfmSegment::NAME,
                format!("there is no map '{other}'; use 'grid10' or 'codes11'"),
            )),
        }
    }

    fn letter(self, r: usize, f: usize, m: Option<usize>) -> u8 {
        match (self, m) {
            (Self::Codes11, Some(m)) => CODES11[r][f][m],
            _ => GRID10[r][f],
        }
    }
}

/// Index into [`SEGMENTS`] of one row.
fn segment_at(map: Map, scores: &[&Int64Array], row: usize) -> Result<i8> {
    let score = |argument: usize| {
        place(
            RfmSegment::PARAMETERS[argument],
            scores[argument].value(row),
        )
    };
    let m = (scores.len() > 2).then(|| score(2)).transpose()?;
    let letter = map.letter(score(0)?, score(1)?, m);
    let segment = SEGMENTS.iter().position(|(known, _)| *known == letter);
    Ok(segment
        .and_then(|segment| i8::try_from(segment).ok())
        .unwrap_or_default())
}

/// A score as an index from 0.
fn place(argument: &str, score: i64) -> Result<usize> {
    match usize::try_from(score) {
        Ok(score @ 1..=5) => Ok(score - 1),
        _ => Err(outside(argument, score)),
    }
}

#[cold]
fn outside(argument: &str, score: i64) -> DataFusionError {
    invalid_value(
        RfmSegment::NAME,
        format!("{argument} {score} is outside 1..5; use quantile_score or a CASE to get scores"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_of_both_maps_is_a_segment() {
        let known = |letter: &u8| SEGMENTS.iter().any(|(known, _)| known == letter);
        assert!(GRID10.iter().copied().flatten().all(known));
        assert!(CODES11.iter().flatten().copied().flatten().all(known));
    }

    #[test]
    fn only_codes11_knows_the_lost() {
        assert!(
            !GRID10
                .iter()
                .copied()
                .flatten()
                .any(|letter| *letter == b'Z')
        );
        assert_eq!(Map::Codes11.letter(0, 0, Some(0)), b'Z');
    }

    #[test]
    fn a_score_of_six_is_refused() {
        let error = place("r", 6).unwrap_err().to_string();
        assert!(
            error.contains("rfm_segment(): r 6 is outside 1..5"),
            "{error}"
        );
        assert!(place("r", 0).is_err());
    }
}
