//! List columns of partial states: of each row as many items in one as in the others.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::Field;
use datafusion_common::cast::as_list_array;
use datafusion_common::{Result, exec_datafusion_err, internal_err};

/// List columns that share their offsets.
pub(crate) fn lists(
    function: &str,
    offsets: &[usize],
    items: Vec<ArrayRef>,
) -> Result<Vec<ArrayRef>> {
    let offsets = offsets
        .iter()
        .map(|offset| i32::try_from(*offset))
        .collect::<Result<Vec<_>, _>>();
    let offsets = offsets.map_err(|_| {
        exec_datafusion_err!("{function}(): more than {} values in one state", i32::MAX)
    })?;
    let offsets = OffsetBuffer::new(offsets.into());
    let list = |items: ArrayRef| -> Result<ArrayRef> {
        let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
        Ok(Arc::new(ListArray::try_new(
            field,
            offsets.clone(),
            items,
            None,
        )?))
    };
    items.into_iter().map(list).collect()
}

/// The lists of a batch of partial states.
#[derive(Debug)]
pub(crate) struct Listed {
    /// The items of each column, those of all rows after each other.
    pub(crate) items: Vec<ArrayRef>,
    bounds: Vec<usize>,
}

impl Listed {
    /// Of columns that [`lists`] has made.
    pub(crate) fn new(function: &str, columns: &[ArrayRef]) -> Result<Self> {
        let columns = columns.iter().map(|column| as_list_array(column));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let bounds_of = |column: &ListArray| {
            let first = column.offsets()[0];
            let offsets = column.offsets().iter();
            offsets
                .map(|offset| (offset - first) as usize)
                .collect::<Vec<_>>()
        };
        let Some(bounds) = columns.first().map(|column| bounds_of(column)) else {
            return internal_err!("{function}(): a partial state without lists");
        };
        if columns.iter().any(|column| bounds_of(column) != bounds) {
            return internal_err!("{function}(): the lists of a partial state differ in length");
        }
        let total = bounds.last().copied().unwrap_or_default();
        let items = columns
            .iter()
            .map(|column| column.values().slice(column.offsets()[0] as usize, total));
        Ok(Self {
            items: items.collect(),
            bounds,
        })
    }

    /// Where the items of a row stand.
    pub(crate) fn of(&self, row: usize) -> Range<usize> {
        self.bounds[row]..self.bounds[row + 1]
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    fn numbers(numbers: Vec<i64>) -> ArrayRef {
        Arc::new(Int64Array::from(numbers))
    }

    #[test]
    fn items_are_found_in_slices_too() {
        let columns = lists(
            "f",
            &[0, 2, 2, 5],
            vec![numbers(vec![1, 2, 3, 4, 5]), numbers(vec![6, 7, 8, 9, 10])],
        );
        let columns = columns.unwrap();
        let listed = Listed::new("f", &columns).unwrap();
        assert_eq!([0, 1, 2].map(|row| listed.of(row)), [0..2, 2..2, 2..5]);
        let slices: Vec<_> = columns.iter().map(|column| column.slice(1, 2)).collect();
        let listed = Listed::new("f", &slices).unwrap();
        assert_eq!([0, 1].map(|row| listed.of(row)), [0..0, 0..3]);
        assert_eq!(&listed.items[1], &numbers(vec![8, 9, 10]));
    }

    #[test]
    fn lists_of_different_lengths_are_no_state() {
        let one = lists("f", &[0, 1, 2], vec![numbers(vec![1, 2])]).unwrap();
        let other = lists("f", &[0, 2, 2], vec![numbers(vec![1, 2])]).unwrap();
        let columns = [one, other].concat();
        let error = Listed::new("f", &columns).unwrap_err().to_string();
        assert!(error.contains("differ in length"), "{error}");
        assert!(Listed::new("f", &[]).is_err());
    }
}
