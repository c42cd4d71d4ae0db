//! Who the customers are, and the traits that make them buy, stay, answer and complain.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};

use super::calendar::{DAYS, FIRST_DAY, START, service_level};
use super::columns::{self, optional, required, timestamptz};
use super::dice::{Dice, logistic};
use super::orders::{self, Status};
use super::phrases::Language;
use super::{SampleTable, World};
use crate::error::Result;

/// Shape of the law of sign-up: above 1, more of them early.
const SIGN_UP_SKEW: f64 = 1.6;

/// Shape of the gamma law of purchase rates: below 1, few buy much and many buy little.
const RATE_SHAPE: f64 = 0.9;

/// Mean purchases per day while a customer is with the house; gives about 20 orders per customer.
const RATE_MEAN: f64 = 0.083;

/// The beta law of the chance to leave after an order.
const LEAVE_BETA: (f64, f64) = (0.9, 14.0);

/// The gamma law of the inverse level of spending (Gamma-Gamma's q), shape only.
const SPEND_SHAPE: f64 = 4.0;

/// Gamma-Gamma's γ in cents; with an order shape of 6 the mean order is 2γ.
const SPEND_SCALE: f64 = 2_600.0;

/// Years of age, at the first day, of the youngest and the oldest.
const AGES: (f64, f64) = (18.0, 84.0);

const DAYS_PER_YEAR: f64 = 365.25;

/// Share of customers who did not give their birthday.
const UNKNOWN_BIRTHDAY: f64 = 0.04;

const ACQUISITION: [(&str, f64); 7] = [
    ("organic", 0.30),
    ("paid_search", 0.22),
    ("social", 0.16),
    ("referral", 0.12),
    ("email", 0.08),
    ("store", 0.07),
    ("partner", 0.05),
];

/// A group of customers that differs in how often and for how much it buys.
struct Segment {
    name: &'static str,
    frequency: f64,
    spending: f64,
}

static SEGMENTS: [(&Segment, f64); 4] = [
    (
        &Segment {
            name: "consumer",
            frequency: 1.0,
            spending: 1.0,
        },
        0.62,
    ),
    (
        &Segment {
            name: "family",
            frequency: 1.25,
            spending: 1.15,
        },
        0.20,
    ),
    (
        &Segment {
            name: "student",
            frequency: 0.8,
            spending: 0.65,
        },
        0.10,
    ),
    (
        &Segment {
            name: "business",
            frequency: 1.1,
            spending: 1.9,
        },
        0.08,
    ),
];

/// A country with the towns and names found there. Names are common ones, and no person's.
pub(super) struct Country {
    code: &'static str,
    cities: [&'static str; 5],
    first_names: [&'static str; 8],
    last_names: [&'static str; 8],
    languages: [(Language, f64); 3],
}

/// The weights of English, Russian and Ukrainian.
const fn speaks(en: f64, ru: f64, uk: f64) -> [(Language, f64); 3] {
    [
        (Language::English, en),
        (Language::Russian, ru),
        (Language::Ukrainian, uk),
    ]
}

static COUNTRIES: [(&Country, f64); 10] = [
    (
        &Country {
            code: "DE",
            cities: ["Berlin", "Hamburg", "München", "Köln", "Leipzig"],
            first_names: [
                "Anna", "Lukas", "Lena", "Felix", "Marie", "Jonas", "Katrin", "Stefan",
            ],
            last_names: [
                "Müller",
                "Schmidt",
                "Schneider",
                "Fischer",
                "Weber",
                "Wagner",
                "Schäfer",
                "Koch",
            ],
            languages: speaks(0.86, 0.08, 0.06),
        },
        0.26,
    ),
    (
        &Country {
            code: "GB",
            cities: ["London", "Manchester", "Leeds", "Bristol", "Glasgow"],
            first_names: [
                "Emma", "Oliver", "Grace", "Harry", "Alice", "George", "Ruth", "Daniel",
            ],
            last_names: [
                "Smith", "Taylor", "Brown", "Walker", "Evans", "Hughes", "O'Connor", "Clarke",
            ],
            languages: speaks(0.97, 0.01, 0.02),
        },
        0.16,
    ),
    (
        &Country {
            code: "UA",
            cities: ["Kyiv", "Lviv", "Odesa", "Dnipro", "Kharkiv"],
            first_names: [
                "Olena", "Andrii", "Iryna", "Taras", "Oksana", "Dmytro", "Maria", "Yurii",
            ],
            last_names: [
                "Shevchenko",
                "Bondarenko",
                "Kovalenko",
                "Tkachenko",
                "Kravchenko",
                "Oliinyk",
                "Melnyk",
                "Lysenko",
            ],
            languages: speaks(0.04, 0.16, 0.80),
        },
        0.14,
    ),
    (
        &Country {
            code: "PL",
            cities: ["Warszawa", "Kraków", "Wrocław", "Gdańsk", "Poznań"],
            first_names: [
                "Agata", "Piotr", "Ewa", "Tomasz", "Julia", "Marek", "Zofia", "Adam",
            ],
            last_names: [
                "Nowak",
                "Wójcik",
                "Mazur",
                "Kaczmarek",
                "Woźniak",
                "Krawczyk",
                "Zając",
                "Pawlak",
            ],
            languages: speaks(0.78, 0.06, 0.16),
        },
        0.12,
    ),
    (
        &Country {
            code: "FR",
            cities: ["Paris", "Lyon", "Marseille", "Nantes", "Lille"],
            first_names: [
                "Claire", "Hugo", "Camille", "Louis", "Manon", "Paul", "Sarah", "Antoine",
            ],
            last_names: [
                "Martin", "Bernard", "Dubois", "Lefèvre", "Moreau", "Girard", "Gauthier", "Noël",
            ],
            languages: speaks(0.98, 0.01, 0.01),
        },
        0.09,
    ),
    (
        &Country {
            code: "ES",
            cities: ["Madrid", "Barcelona", "Valencia", "Sevilla", "Bilbao"],
            first_names: [
                "Lucia", "Pablo", "Carmen", "Diego", "Elena", "Javier", "Paula", "Sergio",
            ],
            last_names: [
                "García",
                "Fernández",
                "López",
                "Martínez",
                "Sánchez",
                "Ruiz",
                "Muñoz",
                "Romero",
            ],
            languages: speaks(0.97, 0.01, 0.02),
        },
        0.06,
    ),
    (
        &Country {
            code: "IT",
            cities: ["Roma", "Milano", "Torino", "Bologna", "Napoli"],
            first_names: [
                "Giulia", "Marco", "Chiara", "Luca", "Sara", "Matteo", "Elisa", "Paolo",
            ],
            last_names: [
                "Rossi", "Russo", "Ferrari", "Bianchi", "Romano", "Gallo", "Conti", "Bruno",
            ],
            languages: speaks(0.96, 0.01, 0.03),
        },
        0.05,
    ),
    (
        &Country {
            code: "KZ",
            cities: ["Almaty", "Astana", "Shymkent", "Karaganda", "Aktobe"],
            first_names: [
                "Aigul", "Nurlan", "Dana", "Arman", "Saule", "Timur", "Madina", "Ruslan",
            ],
            last_names: [
                "Akhmet", "Serik", "Ospan", "Bolat", "Nurgali", "Kairat", "Tulegen", "Sultan",
            ],
            languages: speaks(0.08, 0.92, 0.0),
        },
        0.05,
    ),
    (
        &Country {
            code: "NL",
            cities: [
                "Amsterdam",
                "Rotterdam",
                "Utrecht",
                "Eindhoven",
                "Groningen",
            ],
            first_names: [
                "Sanne", "Daan", "Lotte", "Bram", "Eva", "Thijs", "Fleur", "Ruben",
            ],
            last_names: [
                "de Vries", "Jansen", "Bakker", "Visser", "Smit", "Meijer", "de Boer", "Mulder",
            ],
            languages: speaks(0.99, 0.005, 0.005),
        },
        0.04,
    ),
    (
        &Country {
            code: "EE",
            cities: ["Tallinn", "Tartu", "Narva", "Pärnu", "Viljandi"],
            first_names: [
                "Liis", "Mart", "Kadri", "Rein", "Anu", "Toomas", "Maarja", "Priit",
            ],
            last_names: [
                "Tamm", "Saar", "Sepp", "Mägi", "Kask", "Kukk", "Rebane", "Ilves",
            ],
            languages: speaks(0.50, 0.45, 0.05),
        },
        0.03,
    ),
];

/// One customer: what the table shows, and the traits behind the other tables.
pub(super) struct Profile {
    pub(super) id: i64,
    pub(super) signed_up: i64,
    pub(super) member: bool,
    pub(super) opted_in: bool,
    pub(super) language: Language,
    /// Standard normal; what the customer thinks of the house before any experience.
    pub(super) satisfaction: f64,
    /// Orders per day of the even clock.
    pub(super) rate: f64,
    /// Chance to leave after an order.
    pub(super) leaves: f64,
    /// Scale of the gamma law of the cents of an order.
    pub(super) spending: f64,
    name: [&'static str; 2],
    mail_host: &'static str,
    country: &'static Country,
    city: &'static str,
    birthday: Option<i32>,
    segment: &'static str,
    acquisition: &'static str,
}

impl Profile {
    pub(super) fn new(world: &World, id: i64) -> Self {
        let dice = &mut Dice::new(world.seed, SampleTable::Customers, id);
        let satisfaction = dice.normal();
        let segment = dice.weighted(&SEGMENTS);
        let country = dice.weighted(&COUNTRIES);
        let member = dice.chance(logistic(0.7 * satisfaction - 0.35));
        let effort = DAYS as f64 * dice.unit().powf(SIGN_UP_SKEW);
        let taste = if member { 1.5 } else { 0.8 } * (0.15 * satisfaction).exp();
        let (a, b) = LEAVE_BETA;
        Self {
            id,
            signed_up: world.calendar.second(effort).unwrap_or(START),
            member,
            opted_in: dice.chance(if member { 0.75 } else { 0.50 }),
            language: dice.weighted(&country.languages),
            satisfaction,
            rate: dice.gamma(RATE_SHAPE, RATE_MEAN / RATE_SHAPE) * taste * segment.frequency,
            leaves: (dice.beta(a, b) * (-0.5 * satisfaction).exp()).clamp(0.002, 0.9),
            spending: SPEND_SCALE * segment.spending / dice.gamma(SPEND_SHAPE, 1.0).max(0.05),
            name: [
                dice.pick(&country.first_names),
                dice.pick(&country.last_names),
            ],
            mail_host: dice.pick(&["example.com", "example.net", "example.org"]),
            country,
            city: dice.pick(&country.cities),
            birthday: birthday(dice),
            segment: segment.name,
            acquisition: dice.weighted(&ACQUISITION),
        }
    }

    /// What the customer thinks of the house at `second`, in standard deviations.
    pub(super) fn opinion(&self, dice: &mut Dice, second: i64) -> f64 {
        0.8 * self.satisfaction + service_level(second) + 0.5 * dice.normal()
    }

    /// Reserved names (RFC 2606), so that nobody can be written to by accident.
    fn email(&self) -> String {
        format!(
            "{}.{}@{}",
            self.name[0].to_ascii_lowercase(),
            self.id,
            self.mail_host
        )
    }
}

fn birthday(dice: &mut Dice) -> Option<i32> {
    let age = (41.0 + 14.0 * dice.normal()).clamp(AGES.0, AGES.1) * DAYS_PER_YEAR;
    let unknown = dice.chance(UNKNOWN_BIRTHDAY);
    (!unknown).then(|| (FIRST_DAY as f64 - age - dice.unit() * DAYS_PER_YEAR) as i32)
}

pub(super) fn fields() -> Vec<Field> {
    vec![
        required("customer_id", DataType::Int64),
        required("name", DataType::Utf8),
        required("email", DataType::Utf8),
        required("country", DataType::Utf8),
        required("city", DataType::Utf8),
        optional("birth_date", DataType::Date32),
        required("segment", DataType::Utf8),
        required("acquisition_channel", DataType::Utf8),
        required("signed_up_at", timestamptz()),
        required("loyalty_member", DataType::Boolean),
        required("marketing_opt_in", DataType::Boolean),
        required("lifetime_points", DataType::Int32),
    ]
}

pub(super) fn batch(
    world: &World,
    schema: &Arc<Schema>,
    customers: Range<i64>,
) -> Result<RecordBatch> {
    let rows: Vec<Profile> = world.profiles(customers).collect();
    let arrays = vec![
        columns::bigints(rows.iter().map(|row| row.id)),
        columns::texts(rows.iter().map(|row| row.name.join(" "))),
        columns::texts(rows.iter().map(Profile::email)),
        columns::texts(rows.iter().map(|row| row.country.code)),
        columns::texts(rows.iter().map(|row| row.city)),
        columns::dates(rows.iter().map(|row| row.birthday)),
        columns::texts(rows.iter().map(|row| row.segment)),
        columns::texts(rows.iter().map(|row| row.acquisition)),
        columns::moments(rows.iter().map(|row| row.signed_up)),
        columns::bools(rows.iter().map(|row| row.member)),
        columns::bools(rows.iter().map(|row| row.opted_in)),
        columns::ints(rows.iter().map(|row| points(world, row))),
    ];
    columns::batch(schema, arrays)
}

/// A member earns one point per whole unit of currency of each completed order.
fn points(world: &World, profile: &Profile) -> i32 {
    if !profile.member {
        return 0;
    }
    let history = orders::history(world, profile);
    let completed = history
        .orders
        .iter()
        .filter(|order| order.status == Status::Completed);
    completed.map(|order| (order.cents / 100) as i32).sum()
}
