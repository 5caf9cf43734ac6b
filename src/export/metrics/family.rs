//! What a metric family is, and how its definition becomes registry entries and samples.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// One metric family, declared once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// What its values do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Only goes up, until a restart.
    Counter,
    Gauge,
}

impl Kind {
    /// As in the exposition's TYPE line.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

impl Family {
    /// A counter that events move, registered.
    pub(super) fn counters(&self, registry: &Registry) -> prometheus::Result<IntCounterVec> {
        let counters = IntCounterVec::new(self.options(), self.labels)?;
        registry.register(Box::new(counters.clone()))?;
        Ok(counters)
    }

    /// A whole-numbered gauge, registered.
    pub(super) fn gauges(&self, registry: &Registry) -> prometheus::Result<IntGaugeVec> {
        let gauges = IntGaugeVec::new(self.options(), self.labels)?;
        registry.register(Box::new(gauges.clone()))?;
        Ok(gauges)
    }

    /// A gauge of seconds, registered.
    pub(super) fn seconds(&self, registry: &Registry) -> prometheus::Result<GaugeVec> {
        let gauges = GaugeVec::new(self.options(), self.labels)?;
        registry.register(Box::new(gauges.clone()))?;
        Ok(gauges)
    }

    /// A family read at scrape time, to be filled with [`Samples::add`].
    pub(super) fn samples(&'static self) -> Samples {
        Samples { family: self, metrics: Vec::new() }
    }

    fn options(&self) -> Opts {
        Opts::new(self.name, self.help)
    }
}

/// The samples of one family at one scrape.
pub(super) struct Samples {
    family: &'static Family,
    metrics: Vec<Metric>,
}

impl Samples {
    /// One sample; `labels` in the order of the declaration.
    pub(super) fn add(&mut self, labels: &[&str], value: f64) {
        debug_assert_eq!(labels.len(), self.family.labels.len(), "{}", self.family.name);
        let pairs = self.family.labels.iter().zip(labels).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        let mut metric = Metric::from_label(pairs.collect());
        match self.family.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        self.metrics.push(metric);
    }

    /// One sample that counts.
    #[expect(clippy::cast_precision_loss, reason = "the exposition knows no other number")]
    pub(super) fn count(&mut self, labels: &[&str], value: u64) {
        self.add(labels, value as f64);
    }

    /// For the exposition; none when there are no samples.
    pub(super) fn done(self) -> Option<MetricFamily> {
        if self.metrics.is_empty() {
            return None;
        }
        let mut family = MetricFamily::default();
        family.set_name(self.family.name.to_owned());
        family.set_help(self.family.help.to_owned());
        family.set_field_type(match self.family.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
        });
        family.set_metric(self.metrics);
        Some(family)
    }
}
