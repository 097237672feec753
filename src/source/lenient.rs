//! Fields that may be absent or have an unexpected type: both count as absent.
//!
//! Senders change the types of fields over time (GitHub's `pushed_at` is a number in one event and a string in the
//! next). A field that decides nothing must not cost the push. Used with `#[serde(default)]`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The visitor's methods for the unexpected types.
macro_rules! other_types_are_absent {
    ($($kind:ident)*) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any value")
        }

        $(other_types_are_absent!(@ $kind);)*
    };
    (@ str) => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
    (@ bool) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
    (@ scalar) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
    (@ seq) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
    (@ map) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
}

/// A text, borrowed from the body if it has no escapes.
#[derive(Clone, Debug, Default)]
pub(super) struct Text<'a>(pub(super) Option<Cow<'a, str>>);

impl Text<'_> {
    /// The text, if present and not empty.
    pub(super) fn get(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.is_empty())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            other_types_are_absent!(bool scalar seq map);

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// A boolean; anything else is false.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FlagVisitor;
        impl<'de> Visitor<'de> for FlagVisitor {
            type Value = Flag;
            other_types_are_absent!(str scalar seq map);

            fn visit_bool<E>(self, value: bool) -> Result<Flag, E> {
                Ok(Flag(value))
            }
        }
        deserializer.deserialize_any(FlagVisitor)
    }
}

/// An object; anything else is None.
#[derive(Clone, Debug)]
pub(super) struct Object<T>(pub(super) Option<T>);

impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;
            other_types_are_absent!(str bool scalar seq);

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(|object| Object(Some(object)))
            }
        }
        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

/// What must hold for each element of a list.
pub(super) trait Predicate {
    fn holds(&self) -> bool;
}

/// Whether the predicate holds for every element of a list. False for an empty list, for one of `MAX` elements or more,
/// which may have been cut off, or for anything else. After the first failure the rest of the list is skipped, and none
/// of it is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct All<T, const MAX: usize> {
    pub(super) answer: bool,
    of: PhantomData<T>,
}

impl<T, const MAX: usize> Default for All<T, MAX> {
    fn default() -> Self {
        Self { answer: false, of: PhantomData }
    }
}

impl<'de, T: Predicate + Deserialize<'de>, const MAX: usize> Deserialize<'de> for All<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AllVisitor<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Predicate + Deserialize<'de>, const MAX: usize> Visitor<'de> for AllVisitor<T, MAX> {
            type Value = All<T, MAX>;
            other_types_are_absent!(str bool scalar map);

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                for count in 0..MAX {
                    match seq.next_element::<T>()? {
                        Some(element) if element.holds() => {}
                        Some(_) => break,
                        None => return Ok(All { answer: count > 0, of: PhantomData }),
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(All::default())
            }
        }
        deserializer.deserialize_any(AllVisitor(PhantomData))
    }
}
