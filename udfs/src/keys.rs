//! Identities of customers and orders as 64-bit keys.
//!
//! Whole numbers, dates and floats are their own key. Text and everything else is numbered in
//! order of appearance; equality is always that of the bytes, never of a hash.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, BinaryViewArray, MAX_INLINE_VIEW_LEN, StringViewArray, make_array,
};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion_common::cast::{as_binary_view_array, as_float64_array, as_string_view_array};
use datafusion_common::{HashMap, Result, internal_err, plan_err};

use crate::aggregate::for_each_row;
use crate::arguments::{not_finite, plain};

/// Bookkeeping of one shared allocation: two reference counts.
const SHARED_HEADER_BYTES: usize = 16;

/// Values that may stay numbered after their groups have gone, beyond twice those in use; fewer are
/// not worth the work. Sorted input emits groups batch by batch and would otherwise keep them all.
pub(crate) const NUMBERS_KEPT: usize = 4_096;

/// Whether so many numbered values are too many for so many entries in use.
pub(crate) fn is_stale(numbered: usize, entries: usize) -> bool {
    numbered > 2 * entries + NUMBERS_KEPT
}

/// The type that keys of the given type are cast to: few enough that each has a fast path.
pub(crate) fn key_type(function: &str, argument: &str, given: &DataType) -> Result<DataType> {
    Ok(match plain(given) {
        DataType::UInt64 => DataType::UInt64,
        given if given.is_integer() || given.is_null() => DataType::Int64,
        given if given.is_floating() => DataType::Float64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::BinaryView,
        given if RowConverter::supports_fields(&[SortField::new(given.clone())]) => given.clone(),
        given => {
            return plan_err!(
                "{function}(): {argument} of type {given} cannot be told apart; use a number, text \
                 or a date"
            );
        }
    })
}

/// Keys of one argument.
#[derive(Debug)]
pub(crate) struct Keys {
    function: &'static str,
    argument: &'static str,
    data_type: DataType,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The value's bits, this many bytes wide.
    Bits {
        width: usize,
    },
    Text(Numbered),
    Binary(Numbered),
    Rows {
        converter: Box<RowConverter>,
        numbered: Numbered,
    },
}

impl Keys {
    /// Keys for values of a type that [`key_type`] returned.
    pub(crate) fn new(
        function: &'static str,
        argument: &'static str,
        data_type: &DataType,
    ) -> Result<Self> {
        let kind = match data_type {
            DataType::Utf8View => Kind::Text(Numbered::default()),
            DataType::BinaryView => Kind::Binary(Numbered::default()),
            other => match other.primitive_width() {
                Some(width @ (4 | 8)) if !other.is_decimal() => Kind::Bits { width },
                _ => Kind::Rows {
                    converter: Box::new(RowConverter::new(vec![SortField::new(other.clone())])?),
                    numbered: Numbered::default(),
                },
            },
        };
        Ok(Self {
            function,
            argument,
            data_type: data_type.clone(),
            kind,
        })
    }

    /// The type of the values.
    pub(crate) fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Puts the key of each selected row into `keys`, which gets the array's length.
    pub(crate) fn read(
        &mut self,
        array: &ArrayRef,
        selection: Option<&NullBuffer>,
        keys: &mut Vec<u64>,
    ) -> Result<()> {
        if array.data_type() != &self.data_type {
            return internal_err!("keys of {} met {}", self.data_type, array.data_type());
        }
        let rows = array.len();
        keys.clear();
        if self.data_type == DataType::Float64 {
            keys.resize(rows, 0);
            return self.read_floats(array, selection, keys);
        }
        match &mut self.kind {
            Kind::Bits { width } => read_bits(array, *width, keys),
            Kind::Text(numbered) => {
                keys.resize(rows, 0);
                let texts = as_string_view_array(array)?;
                let views = texts.views();
                for_each_row(selection, rows, |row| {
                    let view = views[row];
                    keys[row] = match numbered.recall(view) {
                        Some(number) => number,
                        None => numbered.number_of_view(view, texts.value(row).as_bytes()),
                    };
                    Ok(())
                })?;
            }
            Kind::Binary(numbered) => {
                keys.resize(rows, 0);
                let values = as_binary_view_array(array)?;
                for_each_row(selection, rows, |row| {
                    keys[row] = numbered.number(values.value(row));
                    Ok(())
                })?;
            }
            Kind::Rows {
                converter,
                numbered,
            } => {
                keys.resize(rows, 0);
                let encoded = converter.convert_columns(&[Arc::clone(array)])?;
                for_each_row(selection, rows, |row| {
                    keys[row] = numbered.number(encoded.row(row).as_ref());
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// The values that keys stand for.
    pub(crate) fn values(&self, keys: &[u64]) -> Result<ArrayRef> {
        match &self.kind {
            Kind::Bits { width } => {
                let bytes = if *width == 4 {
                    Buffer::from_iter(keys.iter().map(|key| *key as u32))
                } else {
                    Buffer::from_iter(keys.iter().copied())
                };
                let data = ArrayData::builder(self.data_type.clone())
                    .len(keys.len())
                    .add_buffer(bytes)
                    .build()?;
                Ok(make_array(data))
            }
            Kind::Text(numbered) => {
                let texts = keys.iter().map(|key| {
                    // These bytes came out of a text column.
                    std::str::from_utf8(numbered.bytes(*key)).unwrap_or_default()
                });
                Ok(Arc::new(StringViewArray::from_iter_values(texts)))
            }
            Kind::Binary(numbered) => {
                let values = keys.iter().map(|key| numbered.bytes(*key));
                Ok(Arc::new(BinaryViewArray::from_iter_values(values)))
            }
            Kind::Rows {
                converter,
                numbered,
            } => {
                let parser = converter.parser();
                let rows = keys.iter().map(|key| parser.parse(numbered.bytes(*key)));
                Ok(converter.convert_rows(rows)?.remove(0))
            }
        }
    }

    /// Forgets all numbering; for when no key is in use any more.
    pub(crate) fn clear(&mut self) {
        match &mut self.kind {
            Kind::Bits { .. } => {}
            Kind::Text(numbered) | Kind::Binary(numbered) | Kind::Rows { numbered, .. } => {
                *numbered = Numbered::default();
            }
        }
    }

    /// Whether so many more values are numbered than the entries in use can have that they are worth
    /// being numbered anew.
    pub(crate) fn are_stale(&self, entries: usize) -> bool {
        match &self.kind {
            Kind::Bits { .. } => false,
            Kind::Text(numbered) | Kind::Binary(numbered) | Kind::Rows { numbered, .. } => {
                is_stale(numbered.values.len(), entries)
            }
        }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_size(&self) -> usize {
        match &self.kind {
            Kind::Bits { .. } => 0,
            Kind::Text(numbered) | Kind::Binary(numbered) => numbered.heap_size(),
            Kind::Rows {
                converter,
                numbered,
            } => converter.size() + numbered.heap_size(),
        }
    }

    /// Floats are keys by their bits, with the two zeros being equal.
    fn read_floats(
        &self,
        array: &ArrayRef,
        selection: Option<&NullBuffer>,
        keys: &mut [u64],
    ) -> Result<()> {
        let values = as_float64_array(array)?;
        for_each_row(selection, keys.len(), |row| {
            let value = values.value(row);
            if !value.is_finite() {
                return Err(not_finite(self.function, self.argument, value));
            }
            keys[row] = (value + 0.0).to_bits();
            Ok(())
        })
    }
}

fn read_bits(array: &ArrayRef, width: usize, keys: &mut Vec<u64>) {
    let data = array.to_data();
    let (start, end) = (data.offset(), data.offset() + data.len());
    let Some(buffer) = data.buffers().first() else {
        return;
    };
    if width == 4 {
        keys.extend(
            buffer.typed_data::<u32>()[start..end]
                .iter()
                .map(|bits| u64::from(*bits)),
        );
    } else {
        keys.extend_from_slice(&buffer.typed_data::<u64>()[start..end]);
    }
}

/// The latest short texts are looked up first, in `1 << RECENT_BITS` places.
const RECENT_BITS: u32 = 10;
/// With more texts than this they would drive each other out, and none is kept.
const RECENT_TEXTS_MAX: usize = 256;
/// A view of a text that is not short.
const NO_VIEW: u128 = u128::MAX;

/// Byte strings numbered in order of appearance.
#[derive(Debug, Default)]
struct Numbered {
    numbers: HashMap<Arc<[u8]>, u64>,
    /// Texts that stand in their views, by these: they are equal if and only if the texts are.
    inline: HashMap<u128, u64>,
    /// Few texts come again and again: the latest ones by [`Numbered::recent_place`].
    recent: Vec<(u128, u64)>,
    values: Vec<Arc<[u8]>>,
    value_bytes: usize,
}

impl Numbered {
    fn number(&mut self, bytes: &[u8]) -> u64 {
        if let Some(number) = self.numbers.get(bytes) {
            return *number;
        }
        let (number, shared) = self.append(bytes);
        self.numbers.insert(shared, number);
        number
    }

    /// Where the number of a short text stands among the latest ones.
    #[inline]
    fn recent_place(view: u128) -> usize {
        const SPREADS: u64 = 0x9e37_79b9_7f4a_7c15;
        let folded = (view >> 64) as u64 ^ (view as u64);
        (folded.wrapping_mul(SPREADS) >> (u64::BITS - RECENT_BITS)) as usize
    }

    /// The number of a short text that is one of the latest ones.
    #[inline]
    fn recall(&self, view: u128) -> Option<u64> {
        let (known, number) = self.recent.get(Self::recent_place(view))?;
        (*known == view).then_some(*number)
    }

    /// The number of a text. A column of texts must give all its texts here, and only those.
    #[inline(never)]
    fn number_of_view(&mut self, view: u128, bytes: &[u8]) -> u64 {
        if view as u32 > MAX_INLINE_VIEW_LEN {
            return self.number(bytes);
        }
        let number = match self.inline.get(&view) {
            Some(number) => *number,
            None => {
                let (number, _) = self.append(bytes);
                self.inline.insert(view, number);
                number
            }
        };
        if self.values.len() <= RECENT_TEXTS_MAX {
            self.recent.resize(1 << RECENT_BITS, (NO_VIEW, 0));
            self.recent[Self::recent_place(view)] = (view, number);
        } else {
            self.recent = Vec::new();
        }
        number
    }

    fn append(&mut self, bytes: &[u8]) -> (u64, Arc<[u8]>) {
        let number = self.values.len() as u64;
        let shared: Arc<[u8]> = Arc::from(bytes);
        self.value_bytes += bytes.len() + SHARED_HEADER_BYTES;
        self.values.push(Arc::clone(&shared));
        (number, shared)
    }

    fn bytes(&self, number: u64) -> &[u8] {
        usize::try_from(number)
            .ok()
            .and_then(|number| self.values.get(number))
            .map_or(&[], |v| v)
    }

    fn heap_size(&self) -> usize {
        self.value_bytes
            + self.numbers.allocation_size()
            + self.inline.allocation_size()
            + self.recent.capacity() * size_of::<(u128, u64)>()
            + self.values.capacity() * size_of::<Arc<[u8]>>()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Decimal128Array, Float64Array, Int64Array};

    use super::*;

    fn round_trip(array: ArrayRef) -> Vec<u64> {
        let mut keys = Keys::new("f", "customer_id", array.data_type()).unwrap();
        let mut read = Vec::new();
        keys.read(&array, None, &mut read).unwrap();
        assert_eq!(&keys.values(&read).unwrap(), &array);
        read
    }

    #[test]
    fn values_come_back_in_every_kind() {
        round_trip(Arc::new(Int64Array::from(vec![-1, 0, i64::MAX])));
        round_trip(Arc::new(Date32Array::from(vec![-1, 19_000])));
        round_trip(Arc::new(Float64Array::from(vec![1.5, -2.0])));
        round_trip(Arc::new(StringViewArray::from(vec![
            "",
            "an id longer than twelve bytes",
            "b",
        ])));
        round_trip(Arc::new(BinaryViewArray::from_iter_values([
            b"".as_slice(),
            b"\0",
            b"\xff",
        ])));
        round_trip(Arc::new(Decimal128Array::from(vec![
            1,
            -1,
            10_i128.pow(30),
        ])));
    }

    #[test]
    fn equal_text_has_one_key() {
        let keys = round_trip(Arc::new(StringViewArray::from(vec!["a", "b", "a"])));
        assert_eq!(keys[0], keys[2]);
        assert_ne!(keys[0], keys[1]);
    }

    #[test]
    fn short_and_long_text_are_told_apart_in_every_array() {
        let long = "exactly 13 by";
        let array: ArrayRef = Arc::new(StringViewArray::from(vec!["", "twelve bytes", long, "\0"]));
        let mut keys = Keys::new("f", "customer_id", array.data_type()).unwrap();
        let mut read = Vec::new();
        keys.read(&array, None, &mut read).unwrap();
        assert_eq!(read, [0, 1, 2, 3]);
        let other: ArrayRef = Arc::new(StringViewArray::from(vec![long, "\0", "twelve bytes", ""]));
        keys.read(&other, None, &mut read).unwrap();
        assert_eq!(read, [2, 3, 1, 0]);
        assert_eq!(&keys.values(&read).unwrap(), &other);
    }

    #[test]
    fn a_slice_is_read_from_its_offset() {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let mut keys = Keys::new("f", "customer_id", &DataType::Int64).unwrap();
        let mut read = Vec::new();
        keys.read(&array.slice(1, 2), None, &mut read).unwrap();
        assert_eq!(read, [2, 3]);
    }

    #[test]
    fn both_zeros_are_one_customer_and_nan_is_none() {
        let array: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0]));
        let mut keys = Keys::new("f", "customer_id", &DataType::Float64).unwrap();
        let mut read = Vec::new();
        keys.read(&array, None, &mut read).unwrap();
        assert_eq!(read[0], read[1]);
        let nan: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN]));
        let error = keys.read(&nan, None, &mut read).unwrap_err().to_string();
        assert!(error.contains("customer_id is NaN"), "{error}");
    }

    #[test]
    fn size_grows_with_the_text_that_is_kept() {
        let mut numbered = Numbered::default();
        let before = numbered.heap_size();
        numbered.number(&[7; 1_000]);
        assert!(numbered.heap_size() >= before + 1_000);
    }
}
