//! What may be done with what: privileges, the objects they are on, and who granted them.

/// A privilege by PostgreSQL's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Privilege {
    /// Append rows.
    Insert,
    /// Read.
    Select,
    /// Change rows.
    Update,
    /// Remove rows.
    Delete,
    /// Remove all rows.
    Truncate,
    /// Refer to it by a foreign key.
    References,
    /// Put triggers on it.
    Trigger,
    /// Look into a schema.
    Usage,
    /// Make objects in it.
    Create,
    /// Connect to a database.
    Connect,
    /// Make temporary tables.
    Temporary,
}

impl Privilege {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Insert,
        Self::Select,
        Self::Update,
        Self::Delete,
        Self::Truncate,
        Self::References,
        Self::Trigger,
        Self::Usage,
        Self::Create,
        Self::Connect,
        Self::Temporary,
    ];

    /// PostgreSQL's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Select => "SELECT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Truncate => "TRUNCATE",
            Self::References => "REFERENCES",
            Self::Trigger => "TRIGGER",
            Self::Usage => "USAGE",
            Self::Create => "CREATE",
            Self::Connect => "CONNECT",
            Self::Temporary => "TEMPORARY",
        }
    }

    /// The privilege of a name, without regard to case.
    pub fn named(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("temp") {
            return Some(Self::Temporary);
        }
        Self::ALL
            .iter()
            .copied()
            .find(|privilege| privilege.name().eq_ignore_ascii_case(name))
    }

    /// Its letter in an aclitem such as `ana=r/admin`.
    pub const fn letter(self) -> char {
        match self {
            Self::Insert => 'a',
            Self::Select => 'r',
            Self::Update => 'w',
            Self::Delete => 'd',
            Self::Truncate => 'D',
            Self::References => 'x',
            Self::Trigger => 't',
            Self::Usage => 'U',
            Self::Create => 'C',
            Self::Connect => 'c',
            Self::Temporary => 'T',
        }
    }
}

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The database.
    Database,
    /// A schema.
    Schema,
    /// A table or view.
    Table,
}

impl Kind {
    /// The privileges that exist on it, in the order of an aclitem.
    pub const fn privileges(self) -> &'static [Privilege] {
        use Privilege as P;
        match self {
            Self::Database => &[P::Create, P::Temporary, P::Connect],
            Self::Schema => &[P::Usage, P::Create],
            Self::Table => &[
                P::Insert,
                P::Select,
                P::Update,
                P::Delete,
                P::Truncate,
                P::References,
                P::Trigger,
            ],
        }
    }

    /// Its word in messages and in the catalog.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Schema => "schema",
            Self::Table => "table",
        }
    }
}

/// Something that privileges are granted on, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// The one database.
    Database,
    /// A schema.
    Schema(String),
    /// A table or view.
    Table {
        /// Its schema.
        schema: String,
        /// Its name.
        name: String,
    },
}

impl Object {
    /// A table.
    pub fn table(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self::Table {
            schema: schema.into(),
            name: name.into(),
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Database => Kind::Database,
            Self::Schema(_) => Kind::Schema,
            Self::Table { .. } => Kind::Table,
        }
    }

    /// Its schema and name as the catalog file keeps them.
    pub(super) fn key(&self) -> (&str, &str) {
        match self {
            Self::Database => ("", ""),
            Self::Schema(name) => ("", name),
            Self::Table { schema, name } => (schema, name),
        }
    }

    /// Its own name, as messages show it.
    pub fn name(&self) -> &str {
        match self {
            Self::Database => super::DATABASE,
            Self::Schema(name) | Self::Table { name, .. } => name,
        }
    }
}

/// One privilege of one role on one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// Who has it; `None` is everybody (PUBLIC).
    pub grantee: Option<String>,
    /// Who gave it.
    pub grantor: String,
    /// The privilege.
    pub privilege: Privilege,
    /// Whether the grantee may give it on.
    pub grantable: bool,
}

/// Grants as PostgreSQL's aclitems, those of one grantee and grantor in one.
pub fn acl_items(grants: &[Grant]) -> Vec<String> {
    let mut items: Vec<(Option<&str>, &str, String)> = Vec::new();
    for privilege in Privilege::ALL {
        for grant in grants.iter().filter(|grant| grant.privilege == *privilege) {
            let (grantee, grantor) = (grant.grantee.as_deref(), grant.grantor.as_str());
            let known = items
                .iter()
                .position(|(to, by, _)| (*to, *by) == (grantee, grantor));
            let at = known.unwrap_or_else(|| {
                items.push((grantee, grantor, String::new()));
                items.len() - 1
            });
            if let Some((.., letters)) = items.get_mut(at) {
                letters.push(privilege.letter());
                if grant.grantable {
                    letters.push('*');
                }
            }
        }
    }
    items
        .into_iter()
        .map(|(grantee, grantor, letters)| {
            format!(
                "{}={letters}/{}",
                grantee.map(quoted).unwrap_or_default(),
                quoted(grantor)
            )
        })
        .collect()
}

/// A role's name in an aclitem: quoted unless it is of letters, digits and underscores.
fn quoted(name: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    match name.chars().all(plain) {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_of_one_pair_are_one_item() {
        let grant = |grantee: Option<&str>, privilege, grantable| Grant {
            grantee: grantee.map(str::to_owned),
            grantor: "loyalhouse".to_owned(),
            privilege,
            grantable,
        };
        let grants = [
            grant(Some("ana"), Privilege::Select, true),
            grant(None, Privilege::Select, false),
            grant(Some("ana"), Privilege::Insert, false),
            grant(Some("a b"), Privilege::Delete, false),
        ];
        assert_eq!(
            acl_items(&grants),
            [
                "ana=ar*/loyalhouse",
                "=r/loyalhouse",
                "\"a b\"=d/loyalhouse"
            ]
        );
    }
}
