//! The functions of information_schema that clients call themselves: a type's length, precision, scale.

use datafusion::error::Result;

use super::{Call, Returns, Spec, argument, strict};
use crate::catalog::cells::Cell;
use crate::catalog::pg_type::{self, TypeLimits};

pub(super) const SPECS: &[Spec] = &[
    strict("_pg_char_max_length", (2, 2), Returns::Int, |_, args| {
        Ok(limits(args).length.into())
    }),
    strict("_pg_char_octet_length", (2, 2), Returns::Int, |_, args| {
        Ok(limits(args).octets.into())
    }),
    strict("_pg_numeric_precision", (2, 2), Returns::Int, |_, args| {
        Ok(limits(args).precision.into())
    }),
    strict(
        "_pg_numeric_precision_radix",
        (2, 2),
        Returns::Int,
        |_, args| Ok(limits(args).radix.into()),
    ),
    strict("_pg_numeric_scale", (2, 2), Returns::Int, |_, args| {
        Ok(limits(args).scale.into())
    }),
    strict("_pg_datetime_precision", (2, 2), Returns::Int, |_, args| {
        Ok(limits(args).datetime.into())
    }),
    strict("_pg_interval_type", (2, 2), Returns::Text, |_, _| {
        Ok(Cell::Null)
    }),
    strict("_pg_index_position", (2, 2), Returns::Int, index_position),
];

fn limits(args: &[Cell]) -> TypeLimits {
    let pg_type = argument(args, 0).to_oid().and_then(pg_type::by_oid);
    let typmod = argument(args, 1)
        .to_int()
        .and_then(|typmod| i32::try_from(typmod).ok());
    pg_type.map_or_else(TypeLimits::default, |pg_type| {
        TypeLimits::of(pg_type, typmod.unwrap_or(pg_type::NO_TYPMOD))
    })
}

/// The place of a column within an index, from 1.
fn index_position(call: &Call<'_>, args: &[Cell]) -> Result<Cell> {
    let (Some(index), Some(column)) = (argument(args, 0).to_oid(), argument(args, 1).to_int())
    else {
        return Ok(Cell::Null);
    };
    let key = call.snapshot.key_of_index(index);
    let place = key.and_then(|key| {
        key.columns
            .iter()
            .position(|number| i64::from(*number) == column)
    });
    Ok(place
        .map(|place| i32::try_from(place + 1).unwrap_or(i32::MAX))
        .into())
}
