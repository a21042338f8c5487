//! A metric with labels whose series can be told apart and taken away again.
//!
//! `prometheus::MetricVec` keys its children by a hash over the label values *without a
//! separator*: site `a` with key `b1` and site `ab` with key `1` would share one counter.
//! It cannot be asked for its label sets either, and those of a site that a reload removed
//! have to go. Hence this small collector over the library's own counters and gauges.

use std::collections::HashMap;

use parking_lot::RwLock;
use prometheus::core::{Collector, Desc, Metric};
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Opts};

/// A kind of metric that a [`Family`] can hold.
pub trait Series: Metric + 'static {
    /// Its type in the exposition.
    const TYPE: MetricType;

    /// A new series at zero.
    fn build(opts: Opts, buckets: &[f64]) -> prometheus::Result<Self>;
}

impl Series for IntCounter {
    const TYPE: MetricType = MetricType::COUNTER;

    fn build(opts: Opts, _: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(opts)
    }
}

impl Series for IntGauge {
    const TYPE: MetricType = MetricType::GAUGE;

    fn build(opts: Opts, _: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(opts)
    }
}

impl Series for Histogram {
    const TYPE: MetricType = MetricType::HISTOGRAM;

    fn build(opts: Opts, buckets: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(HistogramOpts { common_opts: opts, buckets: buckets.to_vec() })
    }
}

type Labels = Box<[Box<str>]>;

/// All series of one name.
pub struct Family<M> {
    desc: Desc,
    labels: &'static [&'static str],
    buckets: &'static [f64],
    series: RwLock<HashMap<Labels, M>>,
}

impl<M: Series> Family<M> {
    /// A family without series. `buckets` are for histograms, upper bounds in seconds.
    ///
    /// # Errors
    /// A name, help text, label or bucket that Prometheus does not allow.
    pub fn new(
        name: &str,
        help: &str,
        labels: &'static [&'static str],
        buckets: &'static [f64],
    ) -> prometheus::Result<Self> {
        M::build(Opts::new(name, help), buckets)?;
        let names = labels.iter().map(|label| (*label).to_owned()).collect();
        let desc = Desc::new(name.to_owned(), help.to_owned(), names, HashMap::new())?;
        Ok(Self { desc, labels, buckets, series: RwLock::default() })
    }

    /// The series with these label values, made at zero if there is none. Fewer values
    /// than labels leave out the last labels.
    pub fn with(&self, values: &[&str]) -> M {
        let key: Labels = values.iter().map(|value| Box::from(*value)).collect();
        if let Some(series) = self.series.read().get(&key) {
            return series.clone();
        }
        self.series.write().entry(key).or_insert_with(|| self.detached(values)).clone()
    }

    /// A series that is counted but never shown.
    #[allow(clippy::expect_used)] // `new` has built one: only label values differ, any text
    pub fn detached(&self, values: &[&str]) -> M {
        let labels = self.labels.iter().zip(values);
        let opts = Opts::new(&self.desc.fq_name, &self.desc.help)
            .const_labels(labels.map(|(name, value)| ((*name).into(), (*value).into())).collect());
        M::build(opts, self.buckets).expect("checked when the family was made")
    }

    /// Keeps only the series whose label values pass.
    pub fn retain(&self, keep: impl Fn(&[Box<str>]) -> bool) {
        self.series.write().retain(|values, _| keep(values));
    }
}

impl<M: Series> Collector for Family<M> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(M::TYPE);
        family.set_metric(self.series.read().values().map(Metric::metric).collect());
        vec![family]
    }
}

/// Lets a family be registered and used at the same time.
pub struct Shared<M>(pub std::sync::Arc<Family<M>>);

impl<M: Series> Collector for Shared<M> {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.0.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters() -> Family<IntCounter> {
        Family::new("things_total", "Things.", &["site", "key"], &[]).unwrap()
    }

    #[test]
    fn label_values_that_read_the_same_when_joined_are_different_series() {
        let family = counters();
        family.with(&["a", "b1"]).inc();
        assert_eq!(family.with(&["ab", "1"]).get(), 0);
        assert_eq!(family.with(&["a", "b1"]).get(), 1);
    }

    #[test]
    fn what_is_not_retained_is_no_longer_shown() {
        let family = counters();
        let gone = family.with(&["gone", "k"]);
        family.with(&["kept", "k"]).inc();
        family.retain(|values| &*values[0] == "kept");
        gone.inc();
        let shown = family.collect().remove(0);
        assert_eq!(shown.get_metric().len(), 1);
        assert_eq!(shown.get_metric()[0].get_label()[1].value(), "kept");
    }

    #[test]
    fn a_name_that_prometheus_forbids_is_an_error_and_no_panic() {
        assert!(Family::<IntCounter>::new("no spaces", "Help.", &["site"], &[]).is_err());
        assert!(Family::<IntCounter>::new("name", "Help.", &["no-dash"], &[]).is_err());
        assert!(Family::<Histogram>::new("name", "Help.", &[], &[2.0, 1.0]).is_err());
    }
}
