//! Replies of named fields.

use crate::server::reply::Reply;
use crate::sketch::joint::Rate;
use std::borrow::Cow;

/// A reply of named fields, in the making.
pub struct Fields(Vec<(Cow<'static, str>, Reply)>);

impl Fields {
    pub fn new() -> Fields {
        Fields(Vec::new())
    }

    pub fn field(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Reply>) {
        self.0.push((name.into(), value.into()));
    }

    /// An estimate and its interval: the estimate under its name, then `lower` and `upper`.
    pub fn estimate(&mut self, name: &'static str, value: f64, interval: (f64, f64)) {
        self.field(name, value);
        self.field("lower", interval.0);
        self.field("upper", interval.1);
    }

    /// A rate without its interval; null where it is of nothing.
    pub fn share(&mut self, name: &'static str, rate: Option<Rate>) {
        self.field(name, rate.map(|rate| rate.value));
    }

    /// A rate and its interval; nulls where the rate is of nothing.
    pub fn rate(&mut self, names: [&'static str; 3], rate: Option<Rate>, confidence: f64) {
        let interval = rate.as_ref().map(|rate| rate.interval(confidence));
        self.share(names[0], rate);
        self.field(names[1], interval.map(|interval| interval.0));
        self.field(names[2], interval.map(|interval| interval.1));
    }
}

impl From<Fields> for Reply {
    fn from(fields: Fields) -> Self {
        Reply::Map(fields.0)
    }
}
