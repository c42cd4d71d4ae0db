//! `aclexplode(x)`: who granted which privilege to whom, a row for each privilege of an access list.

use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, StringArray, StructArray, UInt32Array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::acl::LETTERS;
use crate::catalog::pg_type::PG_TYPE_METADATA;
use crate::catalog::{SystemCatalog, roles};
use crate::error::Error;

/// The rows of `aclexplode(x)` as a list.
pub const ACL_ROWS: &str = "pg_acl_rows";

/// The function [`ACL_ROWS`].
pub(super) fn function(catalog: &Arc<SystemCatalog>) -> ScalarUDF {
    ScalarUDF::new_from_impl(AclRows {
        catalog: Arc::clone(catalog),
        signature: Signature::any(1, Volatility::Stable),
    })
}

struct AclRows {
    catalog: Arc<SystemCatalog>,
    signature: Signature,
}

impl Debug for AclRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AclRows").finish_non_exhaustive()
    }
}

impl PartialEq for AclRows {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.catalog, &other.catalog)
    }
}

impl Eq for AclRows {}

impl Hash for AclRows {
    fn hash<H: Hasher>(&self, state: &mut H) {
        ACL_ROWS.hash(state);
    }
}

impl ScalarUDFImpl for AclRows {
    fn name(&self) -> &'static str {
        ACL_ROWS
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(item()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(lists) = arrays.first() else {
            return Err(Error::internal("aclexplode takes an access list").into());
        };
        let text = Arc::new(Field::new_list_field(DataType::Utf8, true));
        let lists = compute::cast(lists, &DataType::List(text))?;
        let lists = lists.as_list::<i32>();
        let known = roles::roles(self.catalog.facts());
        let oid = |name: &str| match name {
            "" => 0,
            name => {
                let found = known.iter().find(|(_, role)| role.name == name);
                found.map_or_else(|| name.parse().unwrap_or_default(), |(oid, _)| *oid)
            }
        };
        let mut grants = Vec::new();
        let mut lengths = Vec::with_capacity(lists.len());
        for row in 0..lists.len() {
            let before = grants.len();
            if lists.is_valid(row) {
                for entry in lists.value(row).as_string::<i32>().iter().flatten() {
                    explode(entry, &oid, &mut grants)?;
                }
            }
            lengths.push(grants.len() - before);
        }
        Ok(ColumnarValue::Array(rows(&grants, lengths)?))
    }
}

struct Granted {
    grantor: u32,
    grantee: u32,
    privilege: &'static str,
    grantable: bool,
}

fn fields() -> Fields {
    let oid = |name: &str| {
        let metadata = [(PG_TYPE_METADATA.to_owned(), "oid".to_owned())];
        Field::new(name, DataType::UInt32, true).with_metadata(metadata.into())
    };
    Fields::from(vec![
        oid("grantor"),
        oid("grantee"),
        Field::new("privilege_type", DataType::Utf8, true),
        Field::new("is_grantable", DataType::Boolean, true),
    ])
}

fn item() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Struct(fields()), true))
}

fn rows(grants: &[Granted], lengths: Vec<usize>) -> Result<ArrayRef> {
    let grantors: UInt32Array = grants.iter().map(|grant| Some(grant.grantor)).collect();
    let grantees: UInt32Array = grants.iter().map(|grant| Some(grant.grantee)).collect();
    let privileges: StringArray = grants.iter().map(|grant| Some(grant.privilege)).collect();
    let grantable: BooleanArray = grants.iter().map(|grant| Some(grant.grantable)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(grantors),
        Arc::new(grantees),
        Arc::new(privileges),
        Arc::new(grantable),
    ];
    let records = StructArray::try_new(fields(), columns, None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    let list = ListArray::try_new(item(), offsets, Arc::new(records), None)?;
    Ok(Arc::new(list))
}

/// The grants of `grantee=letters/grantor`.
fn explode(entry: &str, oid: &dyn Fn(&str) -> u32, grants: &mut Vec<Granted>) -> Result<()> {
    let invalid = || {
        Error::invalid_text_representation(format!(
            "invalid input syntax for type aclitem: \"{entry}\""
        ))
    };
    let (grantee, rest) = role(entry);
    let (letters, grantor) = rest
        .strip_prefix('=')
        .and_then(|rest| rest.split_once('/'))
        .ok_or_else(invalid)?;
    let (grantee, grantor) = (oid(&grantee), oid(&role(grantor).0));
    for (letter, privilege) in LETTERS {
        if let Some(at) = letters.find(*letter) {
            grants.push(Granted {
                grantor,
                grantee,
                privilege,
                grantable: letters[at + letter.len_utf8()..].starts_with('*'),
            });
        }
    }
    Ok(())
}

/// A role's name, quoted or not, and what stands behind it.
fn role(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('=').unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut name = String::new();
    let mut letters = quoted.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' if letters.next_if(|(_, next)| *next == '"').is_some() => name.push('"'),
            '"' => return (name, &quoted[at + 1..]),
            other => name.push(other),
        }
    }
    (name, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_access_lists_may_be_quoted() {
        assert_eq!(role("a=r/b"), ("a".to_owned(), "=r/b"));
        assert_eq!(role("=r/b"), (String::new(), "=r/b"));
        assert_eq!(role("\"a\"\"=b\"=r/b"), ("a\"=b".to_owned(), "=r/b"));
    }

    #[test]
    fn each_privilege_is_a_row() {
        let mut grants = Vec::new();
        explode(
            "a=r*w/b",
            &|name| if name == "a" { 1 } else { 2 },
            &mut grants,
        )
        .unwrap();
        let found: Vec<_> = grants
            .iter()
            .map(|grant| {
                (
                    grant.grantee,
                    grant.grantor,
                    grant.privilege,
                    grant.grantable,
                )
            })
            .collect();
        assert_eq!(found, [(1, 2, "SELECT", true), (1, 2, "UPDATE", false)]);
        assert!(explode("a", &|_| 0, &mut grants).is_err());
    }
}
