//! The Prometheus text format, as far as tests need it.

/// One scrape.
pub struct Metrics(Vec<Sample>);

struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Metrics {
    /// Parses a scrape; panics on what Prometheus would not take either.
    pub fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(samples.map(Sample::parse).collect())
    }

    /// The sum of all samples of that name that carry these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// Whether there is a sample of that name with these labels, of whatever value.
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.matching(name, labels).next().is_some()
    }

    fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&str, &str)],
    ) -> impl Iterator<Item = &'a Sample> {
        let carries = |sample: &Sample| {
            labels.iter().all(|(name, value)| {
                sample.labels.iter().any(|(known, is)| known == name && is == value)
            })
        };
        self.0.iter().filter(move |sample| sample.name == name && carries(sample))
    }
}

impl Sample {
    fn parse(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let value = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
        let Some((name, labels)) = series.split_once('{') else {
            return Self { name: series.to_owned(), labels: Vec::new(), value };
        };
        let labels = labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty());
        let labels = labels
            .map(|label| {
                let (name, value) = label.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
                (name.trim().to_owned(), value.trim_end_matches('"').to_owned())
            })
            .collect();
        Self { name: name.to_owned(), labels, value }
    }
}
