//! From a flat listing to tables: which files make which table of which schema.
//!
//! Pure: the rules of "what lies in a folder" in one place. `customers.parquet` is a table, a
//! folder that holds Parquet (also under `key=value/` levels) is one, a folder of such folders is
//! a schema, the top is schema `public`. Names that start with `_` or `.` do not count.

use std::collections::{BTreeMap, BTreeSet};

use object_store::ObjectMeta;
use object_store::path::Path;

/// The schema of the top folder.
pub(super) const TOP_SCHEMA: &str = "public";

/// What Hive, Spark and others write in a path for NULL.
const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

const DELTA_LOG: &str = "_delta_log";
const PARQUET_END: &str = ".parquet";

/// Everything found under one LOCATION.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) tables: Vec<FoundTable>,
    /// Files that no table has: path and reason.
    pub(super) strays: Vec<(Path, &'static str)>,
}

/// One table and the files it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundTable {
    pub(super) schema: String,
    pub(super) name: String,
    /// The folder or file the table comes from.
    pub(super) place: Path,
    pub(super) content: Content,
}

/// What a table is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// Parquet files, ordered by path, each with one value per key.
    Parquet {
        keys: Vec<String>,
        files: Vec<FoundFile>,
    },
    /// Files that lie under different `key=value` levels: one example of each.
    Uneven { first: Path, second: Path },
    /// A Delta Lake table, whose files must not be read without its log, which is at this version.
    Delta { version: u64 },
}

/// A file and the values its path gives to the table's keys (`None` is NULL).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundFile {
    pub(super) meta: ObjectMeta,
    pub(super) values: Vec<Option<String>>,
}

/// Whether a path ends as Parquet files do.
pub(super) fn is_parquet(path: &str) -> bool {
    path.len() > PARQUET_END.len()
        && path
            .get(path.len() - PARQUET_END.len()..)
            .is_some_and(|end| end.eq_ignore_ascii_case(PARQUET_END))
}

/// The one table of a LOCATION that is a single file.
pub(super) fn single_file(meta: ObjectMeta) -> Layout {
    let table = file_table(
        meta.location.filename().unwrap_or_default().to_owned(),
        meta,
    );
    Layout {
        tables: vec![table],
        strays: Vec::new(),
    }
}

/// Sorts the objects under `root` into tables; `root_name` names a table that is the root itself.
pub(super) fn classify(root: &Path, root_name: &str, objects: Vec<ObjectMeta>) -> Layout {
    let mut found = Sorting::default();
    for meta in objects {
        let Some(parts) = meta.location.prefix_match(root) else {
            continue;
        };
        let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
        found.add(parts, meta);
    }
    found.finish(root, root_name)
}

#[derive(Default)]
struct Sorting {
    /// The newest version of each table.
    delta: BTreeMap<Vec<String>, u64>,
    loose: Vec<(String, ObjectMeta)>,
    folders: BTreeMap<Vec<String>, Vec<(Vec<String>, ObjectMeta)>>,
    others: Vec<(Vec<String>, ObjectMeta, &'static str)>,
}

impl Sorting {
    fn add(&mut self, mut parts: Vec<String>, meta: ObjectMeta) {
        if let Some(at) = parts.iter().position(|part| part == DELTA_LOG) {
            let version = parts.get(at + 1).map_or(0, |name| log_version(name));
            parts.truncate(at);
            if !parts.iter().any(|part| is_hidden(part)) {
                let newest = self.delta.entry(parts).or_default();
                *newest = version.max(*newest);
            }
            return;
        }
        if parts.iter().any(|part| is_hidden(part)) {
            return;
        }
        let Some(file) = parts.pop() else {
            return;
        };
        if !is_parquet(&file) {
            self.others.push((parts, meta, "it is not a .parquet file"));
            return;
        }
        let level = parts
            .iter()
            .rposition(|part| !is_key_value(part))
            .map_or(0, |at| at + 1);
        let values = parts.split_off(level);
        if parts.iter().any(|part| is_key_value(part)) {
            self.others
                .push((parts, meta, "it lies in a folder below a key=value level"));
        } else if parts.is_empty() && values.is_empty() {
            self.loose.push((file, meta));
        } else {
            self.folders.entry(parts).or_default().push((values, meta));
        }
    }

    fn finish(self, root: &Path, root_name: &str) -> Layout {
        let Self {
            delta,
            loose,
            folders,
            others,
        } = self;
        let in_delta =
            |parts: &[String]| (0..=parts.len()).any(|n| delta.contains_key(&parts[..n]));
        let mut layout = Layout::default();
        if !in_delta(&[]) {
            for (file, meta) in loose {
                layout.tables.push(file_table(file, meta));
            }
        }
        let tables: BTreeSet<&[String]> = folders.keys().map(Vec::as_slice).collect();
        for (parts, files) in &folders {
            if in_delta(parts) {
                continue;
            }
            let inside = parts.len() == 2 && tables.contains(&parts[..1]);
            match table_name(parts, root_name) {
                Some((schema, name)) if !inside => layout.tables.push(FoundTable {
                    schema,
                    name,
                    place: place(root, parts),
                    content: folder_content(files.clone()),
                }),
                Some(_) => stray(
                    &mut layout,
                    files,
                    "it lies in a folder inside a table's folder",
                ),
                None => stray(
                    &mut layout,
                    files,
                    "it lies too deep to be in a schema's table",
                ),
            }
        }
        for (parts, version) in &delta {
            match table_name(parts, root_name) {
                Some((schema, name)) => layout.tables.push(FoundTable {
                    schema,
                    name,
                    place: place(root, parts),
                    content: Content::Delta { version: *version },
                }),
                None => layout
                    .strays
                    .push((place(root, parts), "it lies too deep to be a table")),
            }
        }
        for (parts, meta, why) in others {
            if !in_delta(&parts) {
                layout.strays.push((meta.location, why));
            }
        }
        layout
            .tables
            .sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
        layout
    }
}

/// The version that a file of a log is of: `00000000000000000012.json`.
fn log_version(name: &str) -> u64 {
    let digits = name.split('.').next().unwrap_or_default();
    digits.parse().unwrap_or_default()
}

fn stray(layout: &mut Layout, files: &[(Vec<String>, ObjectMeta)], why: &'static str) {
    layout
        .strays
        .extend(files.iter().map(|(_, meta)| (meta.location.clone(), why)));
}

fn place(root: &Path, parts: &[String]) -> Path {
    Path::from_iter(
        root.parts()
            .chain(parts.iter().map(|part| part.as_str().into())),
    )
}

/// Schema and name of the table that a folder is, by its depth.
fn table_name(parts: &[String], root_name: &str) -> Option<(String, String)> {
    let (schema, name) = match parts {
        [] => (TOP_SCHEMA, root_name),
        [table] => (TOP_SCHEMA, table.as_str()),
        [schema, table] => (schema.as_str(), table.as_str()),
        _ => return None,
    };
    Some((schema.to_owned(), stem(name).to_owned()))
}

fn file_table(file: String, meta: ObjectMeta) -> FoundTable {
    FoundTable {
        schema: TOP_SCHEMA.to_owned(),
        name: stem(&file).to_owned(),
        place: meta.location.clone(),
        content: Content::Parquet {
            keys: Vec::new(),
            files: vec![FoundFile {
                meta,
                values: Vec::new(),
            }],
        },
    }
}

/// The name without `.parquet`, which folders written by Spark carry too.
fn stem(name: &str) -> &str {
    if is_parquet(name) {
        &name[..name.len() - PARQUET_END.len()]
    } else {
        name
    }
}

fn folder_content(files: Vec<(Vec<String>, ObjectMeta)>) -> Content {
    let mut files: Vec<_> = files
        .into_iter()
        .map(|(levels, meta)| (split_levels(&levels), meta))
        .collect();
    files.sort_by(|a, b| a.1.location.cmp(&b.1.location));
    let Some(((keys, _), first)) = files.first() else {
        return Content::Parquet {
            keys: Vec::new(),
            files: Vec::new(),
        };
    };
    let unique: BTreeSet<&String> = keys.iter().collect();
    let uneven = files
        .iter()
        .find(|((other, _), _)| other != keys || unique.len() < keys.len());
    if let Some((_, other)) = uneven {
        return Content::Uneven {
            first: first.location.clone(),
            second: other.location.clone(),
        };
    }
    Content::Parquet {
        keys: keys.clone(),
        files: files
            .into_iter()
            .map(|((_, values), meta)| FoundFile { meta, values })
            .collect(),
    }
}

fn split_levels(levels: &[String]) -> (Vec<String>, Vec<Option<String>>) {
    levels
        .iter()
        .filter_map(|level| level.split_once('='))
        .map(|(key, value)| {
            let value = url_decoded(value);
            (url_decoded(key), (value != NULL_PARTITION).then_some(value))
        })
        .unzip()
}

fn is_key_value(part: &str) -> bool {
    part.split_once('=').is_some_and(|(key, _)| !key.is_empty())
}

fn is_hidden(part: &str) -> bool {
    // Spark allows a partition key to start with an underscore.
    part.starts_with('.') || (part.starts_with('_') && !is_key_value(part))
}

/// Undoes `%41`; whatever is no such escape, or would not be UTF-8, stays as it is.
fn url_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(path: &str) -> ObjectMeta {
        ObjectMeta {
            // As stores list them: what looks like an escape is part of the name.
            location: Path::parse(path).unwrap(),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: 1,
            e_tag: None,
            version: None,
        }
    }

    fn layout(paths: &[&str]) -> Layout {
        let objects = paths
            .iter()
            .map(|path| object(&format!("data/shop/{path}")))
            .collect();
        classify(&Path::from("data/shop"), "shop", objects)
    }

    /// `schema.table(key,…):files` per table.
    fn tables(paths: &[&str]) -> Vec<String> {
        layout(paths).tables.iter().map(described).collect()
    }

    fn described(table: &FoundTable) -> String {
        let name = format!("{}.{}", table.schema, table.name);
        match &table.content {
            Content::Parquet { keys, files } if keys.is_empty() => {
                format!("{name}:{}", files.len())
            }
            Content::Parquet { keys, files } => {
                format!("{name}({}):{}", keys.join(","), files.len())
            }
            Content::Uneven { .. } => format!("{name}:uneven"),
            Content::Delta { .. } => format!("{name}:delta"),
        }
    }

    fn strays(paths: &[&str]) -> Vec<String> {
        layout(paths)
            .strays
            .iter()
            .map(|(path, _)| path.to_string())
            .collect()
    }

    #[test]
    fn a_file_at_the_top_is_a_table_of_public() {
        assert_eq!(tables(&["customers.parquet"]), ["public.customers:1"]);
        assert_eq!(tables(&["Big Orders.PARQUET"]), ["public.Big Orders:1"]);
    }

    #[test]
    fn a_folder_with_files_is_one_table() {
        assert_eq!(
            tables(&["orders/a.parquet", "orders/b.parquet"]),
            ["public.orders:2"]
        );
        assert_eq!(
            tables(&["orders.parquet/part-0.parquet"]),
            ["public.orders:1"]
        );
    }

    #[test]
    fn keys_are_levels_below_the_table() {
        assert_eq!(
            tables(&[
                "orders/year=2024/month=1/a.parquet",
                "orders/year=2025/month=2/b.parquet"
            ]),
            ["public.orders(year,month):2"]
        );
        assert_eq!(
            tables(&["sales/orders/day=1/a.parquet"]),
            ["sales.orders(day):1"]
        );
    }

    #[test]
    fn a_folder_of_tables_is_a_schema() {
        assert_eq!(
            tables(&[
                "sales/orders/a.parquet",
                "sales/refunds/a.parquet",
                "customers.parquet"
            ]),
            ["public.customers:1", "sales.orders:1", "sales.refunds:1"]
        );
    }

    #[test]
    fn keys_at_the_top_make_the_location_a_table() {
        assert_eq!(
            tables(&["day=1/a.parquet", "day=2/a.parquet"]),
            ["public.shop(day):2"]
        );
        assert_eq!(
            tables(&["day=1/a.parquet", "customers.parquet"]),
            ["public.customers:1", "public.shop(day):1"]
        );
    }

    #[test]
    fn files_at_different_levels_are_uneven() {
        assert_eq!(
            tables(&["orders/a.parquet", "orders/day=1/b.parquet"]),
            ["public.orders:uneven"]
        );
        assert_eq!(
            tables(&["orders/day=1/a.parquet", "orders/month=1/b.parquet"]),
            ["public.orders:uneven"]
        );
        assert_eq!(
            tables(&["orders/day=1/day=2/a.parquet"]),
            ["public.orders:uneven"]
        );
    }

    #[test]
    fn hidden_names_do_not_count() {
        let paths = [
            "_tmp/a.parquet",
            ".x.parquet",
            "orders/_SUCCESS",
            "orders/.a.parquet.crc",
        ];
        assert!(tables(&paths).is_empty());
        assert!(strays(&paths).is_empty());
        assert_eq!(
            tables(&["orders/_day=1/a.parquet"]),
            ["public.orders(_day):1"]
        );
    }

    #[test]
    fn a_delta_table_is_at_the_newest_version_of_its_log() {
        let found = layout(&[
            "t/_delta_log/00000000000000000009.json",
            "t/_delta_log/00000000000000000010.checkpoint.parquet",
            "t/_delta_log/_last_checkpoint",
            "t/a.parquet",
        ]);
        assert_eq!(found.tables[0].content, Content::Delta { version: 10 });
    }

    #[test]
    fn a_delta_folder_is_never_read_as_plain_files() {
        let paths = [
            "orders/_delta_log/0.json",
            "orders/a.parquet",
            "orders/day=1/b.parquet",
            "orders/x.csv",
        ];
        assert_eq!(tables(&paths), ["public.orders:delta"]);
        assert!(strays(&paths).is_empty());
        assert_eq!(
            tables(&["_delta_log/0.json", "a.parquet"]),
            ["public.shop:delta"]
        );
        assert_eq!(
            tables(&["sales/orders/_delta_log/0.json"]),
            ["sales.orders:delta"]
        );
        assert!(tables(&["_old/orders/_delta_log/0.json"]).is_empty());
    }

    #[test]
    fn leftovers_are_named() {
        assert_eq!(strays(&["readme.md"]), ["data/shop/readme.md"]);
        assert_eq!(
            strays(&["orders/a.parquet", "orders/b.csv"]),
            ["data/shop/orders/b.csv"]
        );
        let inside = ["orders/a.parquet", "orders/old/b.parquet"];
        assert_eq!(tables(&inside), ["public.orders:1"]);
        assert_eq!(strays(&inside), ["data/shop/orders/old/b.parquet"]);
        assert_eq!(strays(&["a/b/c/d.parquet"]), ["data/shop/a/b/c/d.parquet"]);
        assert_eq!(
            strays(&["a/day=1/c/d.parquet"]),
            ["data/shop/a/day=1/c/d.parquet"]
        );
    }

    #[test]
    fn values_are_decoded_and_the_hive_default_is_null() {
        let layout = layout(&[
            "t/at=2024-01-01 10%3A00/a.parquet",
            "t/at=__HIVE_DEFAULT_PARTITION__/a.parquet",
            "t/at=100%/a.parquet",
            "t/at=/a.parquet",
        ]);
        let Content::Parquet { files, .. } = &layout.tables[0].content else {
            panic!("not a table");
        };
        let mut values: Vec<_> = files.iter().map(|file| file.values[0].as_deref()).collect();
        values.sort_unstable();
        assert_eq!(
            values,
            [None, Some(""), Some("100%"), Some("2024-01-01 10:00")]
        );
    }

    #[test]
    fn neighbours_with_the_same_beginning_do_not_count() {
        let objects = vec![object("data/shop2/a.parquet")];
        assert!(
            classify(&Path::from("data/shop"), "shop", objects)
                .tables
                .is_empty()
        );
    }

    #[test]
    fn names_are_kept_as_written() {
        assert_eq!(
            tables(&["Orders.parquet", "orders.parquet", "Sales/Orders/a.parquet"]),
            ["Sales.Orders:1", "public.Orders:1", "public.orders:1"]
        );
    }
}
