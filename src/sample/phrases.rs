//! What customers write, in English, Russian and Ukrainian, put together from parts.
//!
//! A text has an opening, sentences on one or two topics (product, delivery, service) and often a
//! closing, all in the tone of the rating. Nouns for products are masculine and inanimate in Russian
//! and Ukrainian, where nominative and accusative are then the same.

use super::dice::Dice;

/// The language of a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Russian,
    Ukrainian,
}

impl Language {
    /// The ISO 639-1 code.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Russian => "ru",
            Self::Ukrainian => "uk",
        }
    }

    fn book(self) -> &'static Phrasebook {
        match self {
            Self::English => &ENGLISH,
            Self::Russian => &RUSSIAN,
            Self::Ukrainian => &UKRAINIAN,
        }
    }
}

/// How the writer feels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Mixed,
    Bad,
}

/// Sentences of one tone. `{product}`, `{quick}` and `{slow}` are filled in.
struct Sentences {
    openings: [&'static str; 5],
    product: [&'static str; 5],
    delivery: [&'static str; 5],
    service: [&'static str; 5],
    closings: [&'static str; 5],
}

/// All that is said in one language.
struct Phrasebook {
    products: [&'static str; 10],
    quick: [&'static str; 4],
    slow: [&'static str; 4],
    /// Between the good and the bad sentence of a mixed text.
    but: [&'static str; 3],
    mixed_openings: [&'static str; 4],
    mixed_closings: [&'static str; 4],
    good: Sentences,
    bad: Sentences,
}

/// Chance that a text has a closing.
const CLOSED: f64 = 0.6;

/// Chance that a text is about a second topic.
const SECOND_TOPIC: f64 = 0.45;

/// The text of a review.
pub(super) fn review(dice: &mut Dice, language: Language, tone: Tone) -> String {
    let book = language.book();
    let topics = two_topics(dice);
    let mut parts = Vec::with_capacity(4);
    match tone {
        Tone::Mixed => {
            parts.push(dice.pick(&book.mixed_openings).to_owned());
            parts.push(contrast(dice, book, topics));
            if dice.chance(CLOSED) {
                parts.push(dice.pick(&book.mixed_closings).to_owned());
            }
        }
        Tone::Good | Tone::Bad => {
            let said = if tone == Tone::Good {
                &book.good
            } else {
                &book.bad
            };
            parts.push(dice.pick(&said.openings).to_owned());
            parts.push(capitalised(&sentence(dice, book, said, topics.0)));
            if dice.chance(SECOND_TOPIC) {
                parts.push(capitalised(&sentence(dice, book, said, topics.1)));
            }
            if dice.chance(CLOSED) {
                parts.push(dice.pick(&said.closings).to_owned());
            }
        }
    }
    parts.join(" ")
}

/// A comment to a survey answer: one sentence.
pub(super) fn comment(dice: &mut Dice, language: Language, tone: Tone) -> String {
    let book = language.book();
    let topics = two_topics(dice);
    match tone {
        Tone::Good => capitalised(&sentence(dice, book, &book.good, topics.0)),
        Tone::Mixed => contrast(dice, book, topics),
        Tone::Bad => capitalised(&sentence(dice, book, &book.bad, topics.0)),
    }
}

/// Two different topics out of three.
fn two_topics(dice: &mut Dice) -> (usize, usize) {
    let first = dice.pick(&[0, 1, 2]);
    (first, (first + dice.pick(&[1, 2])) % 3)
}

/// A sentence on a topic; it starts in lower case, so that it can follow a conjunction.
fn sentence(dice: &mut Dice, book: &Phrasebook, said: &Sentences, topic: usize) -> String {
    let topics = [&said.product, &said.delivery, &said.service];
    dice.pick(topics[topic % topics.len()])
        .replace("{product}", dice.pick(&book.products))
        .replace("{quick}", dice.pick(&book.quick))
        .replace("{slow}", dice.pick(&book.slow))
}

/// Something good about one topic and something bad about another, in one sentence.
fn contrast(dice: &mut Dice, book: &Phrasebook, topics: (usize, usize)) -> String {
    let good = capitalised(&sentence(dice, book, &book.good, topics.0));
    let bad = sentence(dice, book, &book.bad, topics.1);
    format!(
        "{}{} {bad}",
        good.trim_end_matches('.'),
        dice.pick(&book.but)
    )
}

fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(rest).collect()
    })
}

static ENGLISH: Phrasebook = Phrasebook {
    products: [
        "backpack",
        "kettle",
        "blanket",
        "desk lamp",
        "blender",
        "thermos",
        "hair dryer",
        "vacuum cleaner",
        "cookware set",
        "wallet",
    ],
    quick: ["in two days", "in three days", "overnight", "a day early"],
    slow: [
        "two weeks",
        "almost a month",
        "ten days",
        "nearly three weeks",
    ],
    but: [", but", ", although", "; on the other hand,"],
    mixed_openings: [
        "Mixed feelings about this order.",
        "Not bad, not great.",
        "Average experience.",
        "It could have been better.",
    ],
    mixed_closings: [
        "I may give them another try.",
        "Fine for the price.",
        "Three stars from me.",
        "There is room for improvement.",
    ],
    good: Sentences {
        openings: [
            "Very happy with this shop!",
            "Excellent experience.",
            "Great purchase.",
            "Everything was perfect.",
            "I have been a customer for a while and still love it.",
        ],
        product: [
            "the {product} is well made and looks great.",
            "the {product} is exactly as described.",
            "the {product} works perfectly and the quality is excellent.",
            "the {product} is worth every cent.",
            "the {product} is even better than in the pictures.",
        ],
        delivery: [
            "the parcel arrived {quick}, carefully packed.",
            "delivery was fast and reliable.",
            "shipping took no time, it was here {quick}.",
            "the courier was friendly and on time.",
            "the order came {quick} without any damage.",
        ],
        service: [
            "support answered within minutes and was very helpful.",
            "the staff were friendly and patient.",
            "the exchange was quick and easy.",
            "customer service solved my question at once.",
            "the loyalty points were credited right away, a nice touch.",
        ],
        closings: [
            "Highly recommended!",
            "I will order again.",
            "Thank you!",
            "My friends shop here now too.",
            "Five stars.",
        ],
    },
    bad: Sentences {
        openings: [
            "Very disappointed.",
            "Terrible experience.",
            "I do not recommend this shop.",
            "This was my last order here.",
            "A waste of money.",
        ],
        product: [
            "the {product} broke after a week.",
            "the {product} looks cheap and smells of plastic.",
            "the {product} is nothing like the description.",
            "the {product} arrived damaged.",
            "the {product} is poor quality for this price.",
        ],
        delivery: [
            "delivery took {slow} and nobody told me why.",
            "the parcel was late and the box was torn.",
            "I waited {slow} for my order.",
            "the courier never called and left the parcel in the rain.",
            "the wrong item was delivered.",
        ],
        service: [
            "support ignored my emails.",
            "the staff were rude and unhelpful.",
            "I am still waiting for my refund after {slow}.",
            "nobody answers the phone.",
            "the return was refused without a reason.",
        ],
        closings: [
            "Never again.",
            "I want my money back.",
            "Avoid.",
            "I am going to a competitor.",
            "One star is too much.",
        ],
    },
};

static RUSSIAN: Phrasebook = Phrasebook {
    products: [
        "рюкзак",
        "чайник",
        "плед",
        "светильник",
        "блендер",
        "термос",
        "фен",
        "пылесос",
        "набор посуды",
        "кошелёк",
    ],
    quick: [
        "за два дня",
        "за три дня",
        "за сутки",
        "на день раньше срока",
    ],
    slow: [
        "две недели",
        "почти месяц",
        "десять дней",
        "больше трёх недель",
    ],
    but: [", но", ", однако", ", а вот минус:"],
    mixed_openings: [
        "Впечатления смешанные.",
        "Неплохо, но и не отлично.",
        "Обычный магазин.",
        "Ожидалось большего.",
    ],
    mixed_closings: [
        "Возможно, закажем ещё раз.",
        "За эти деньги нормально.",
        "Твёрдая тройка.",
        "Есть над чем работать.",
    ],
    good: Sentences {
        openings: [
            "Очень довольны покупкой!",
            "Отличный магазин.",
            "Всё прошло прекрасно.",
            "Замечательная покупка.",
            "Заказываем здесь не первый раз, всегда всё хорошо.",
        ],
        product: [
            "{product} отличного качества, выглядит прекрасно.",
            "{product} полностью соответствует описанию.",
            "{product} работает отлично, очень удобный.",
            "{product} стоит своих денег.",
            "{product} оказался даже лучше, чем на фото.",
        ],
        delivery: [
            "посылка пришла {quick}, упаковано аккуратно.",
            "доставка быстрая и надёжная.",
            "заказ привезли {quick}.",
            "курьер вежливый, приехал вовремя.",
            "всё дошло {quick}, без повреждений.",
        ],
        service: [
            "поддержка ответила сразу и очень помогла.",
            "сотрудники приветливые и внимательные.",
            "обмен прошёл быстро и без проблем.",
            "вопрос решили за пять минут, спасибо.",
            "бонусные баллы начислили сразу, приятно.",
        ],
        closings: [
            "Рекомендую!",
            "Будем заказывать ещё.",
            "Спасибо магазину!",
            "Теперь советуем друзьям.",
            "Пять звёзд.",
        ],
    },
    bad: Sentences {
        openings: [
            "Очень разочарованы.",
            "Ужасный магазин.",
            "Не рекомендую.",
            "Больше здесь не заказываем.",
            "Зря потраченные деньги.",
        ],
        product: [
            "{product} сломался через неделю.",
            "{product} выглядит дёшево и пахнет пластиком.",
            "{product} совсем не соответствует описанию.",
            "{product} пришёл с браком.",
            "{product} плохого качества, таких денег не стоит.",
        ],
        delivery: [
            "доставка заняла {slow}, и никто ничего не объяснил.",
            "посылка опоздала, коробка порвана.",
            "ждали заказ {slow}.",
            "курьер не позвонил и бросил посылку под дождём.",
            "привезли не тот товар.",
        ],
        service: [
            "поддержка не отвечает на письма.",
            "сотрудники грубые, помочь не захотели.",
            "деньги не возвращают уже {slow}.",
            "дозвониться невозможно.",
            "в возврате отказали без объяснений.",
        ],
        closings: [
            "Больше никогда.",
            "Верните деньги.",
            "Обходите стороной.",
            "Уходим к конкурентам.",
            "Даже одной звезды много.",
        ],
    },
};

static UKRAINIAN: Phrasebook = Phrasebook {
    products: [
        "рюкзак",
        "чайник",
        "плед",
        "світильник",
        "блендер",
        "термос",
        "фен",
        "пилосос",
        "набір посуду",
        "гаманець",
    ],
    quick: ["за два дні", "за три дні", "за добу", "на день раніше"],
    slow: [
        "два тижні",
        "майже місяць",
        "десять днів",
        "понад три тижні",
    ],
    but: [", але", ", проте", ", а от мінус:"],
    mixed_openings: [
        "Враження змішані.",
        "Непогано, але й не чудово.",
        "Звичайний магазин.",
        "Очікувалося більшого.",
    ],
    mixed_closings: [
        "Можливо, замовимо ще раз.",
        "За ці гроші нормально.",
        "Тверда трійка.",
        "Є над чим працювати.",
    ],
    good: Sentences {
        openings: [
            "Дуже задоволені покупкою!",
            "Чудовий магазин.",
            "Усе пройшло прекрасно.",
            "Гарна покупка.",
            "Замовляємо тут не вперше, завжди все добре.",
        ],
        product: [
            "{product} чудової якості, виглядає прекрасно.",
            "{product} повністю відповідає опису.",
            "{product} працює відмінно, дуже зручний.",
            "{product} вартий своїх грошей.",
            "{product} виявився навіть кращим, ніж на фото.",
        ],
        delivery: [
            "посилка прийшла {quick}, запаковано акуратно.",
            "доставка швидка й надійна.",
            "замовлення привезли {quick}.",
            "кур'єр ввічливий, приїхав вчасно.",
            "усе дійшло {quick}, без пошкоджень.",
        ],
        service: [
            "підтримка відповіла одразу й дуже допомогла.",
            "працівники привітні та уважні.",
            "обмін пройшов швидко й без проблем.",
            "питання вирішили за п'ять хвилин, дякуємо.",
            "бонусні бали нарахували одразу, приємно.",
        ],
        closings: [
            "Рекомендую!",
            "Будемо замовляти ще.",
            "Дякуємо магазину!",
            "Тепер радимо друзям.",
            "П'ять зірок.",
        ],
    },
    bad: Sentences {
        openings: [
            "Дуже розчаровані.",
            "Жахливий магазин.",
            "Не рекомендую.",
            "Більше тут не замовляємо.",
            "Марно витрачені гроші.",
        ],
        product: [
            "{product} зламався за тиждень.",
            "{product} виглядає дешево й пахне пластиком.",
            "{product} зовсім не відповідає опису.",
            "{product} прийшов із браком.",
            "{product} поганої якості, таких грошей не вартий.",
        ],
        delivery: [
            "доставка тривала {slow}, і ніхто нічого не пояснив.",
            "посилка запізнилася, коробка порвана.",
            "чекали замовлення {slow}.",
            "кур'єр не зателефонував і кинув посилку під дощем.",
            "привезли не той товар.",
        ],
        service: [
            "підтримка не відповідає на листи.",
            "працівники грубі, допомогти не захотіли.",
            "гроші не повертають уже {slow}.",
            "додзвонитися неможливо.",
            "у поверненні відмовили без пояснень.",
        ],
        closings: [
            "Більше ніколи.",
            "Поверніть гроші.",
            "Обходьте стороною.",
            "Йдемо до конкурентів.",
            "Навіть однієї зірки забагато.",
        ],
    },
};

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::SampleTable;
    use super::*;

    const LANGUAGES: [Language; 3] = [Language::English, Language::Russian, Language::Ukrainian];

    fn texts(language: Language, tone: Tone) -> Vec<String> {
        let mut dice = Dice::new(1, SampleTable::Reviews, 1);
        (0..500)
            .flat_map(|_| {
                [
                    review(&mut dice, language, tone),
                    comment(&mut dice, language, tone),
                ]
            })
            .collect()
    }

    #[test]
    fn texts_are_whole_sentences() {
        for language in LANGUAGES {
            for tone in [Tone::Good, Tone::Mixed, Tone::Bad] {
                for text in texts(language, tone) {
                    assert!(!text.contains(['{', '}']), "{text}");
                    assert!(text.ends_with(['.', '!']), "{text}");
                    assert!(text.chars().next().unwrap().is_uppercase(), "{text}");
                    assert!(!text.contains("..") && !text.contains("  "), "{text}");
                    let ascii = text.is_ascii();
                    assert_eq!(ascii, language == Language::English, "{text}");
                }
            }
        }
    }

    #[test]
    fn texts_vary() {
        for language in LANGUAGES {
            let distinct: HashSet<_> = texts(language, Tone::Good).into_iter().collect();
            assert!(distinct.len() > 400, "{}", distinct.len());
        }
    }

    #[test]
    fn tones_share_no_sentence() {
        for language in LANGUAGES {
            let book = language.book();
            let all = |said: &Sentences| -> HashSet<&'static str> {
                [
                    said.openings,
                    said.product,
                    said.delivery,
                    said.service,
                    said.closings,
                ]
                .concat()
                .into_iter()
                .collect()
            };
            assert!(all(&book.good).is_disjoint(&all(&book.bad)));
        }
    }

    #[test]
    fn languages_keep_to_their_alphabet() {
        for tone in [Tone::Good, Tone::Mixed, Tone::Bad] {
            assert!(
                texts(Language::Russian, tone)
                    .iter()
                    .all(|text| !text.contains(['і', 'ї', 'є']))
            );
            assert!(
                texts(Language::Ukrainian, tone)
                    .iter()
                    .all(|text| !text.contains(['ы', 'э', 'ё']))
            );
        }
    }
}
