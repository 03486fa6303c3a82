//! How much is known of what a recipient does with a mail (C-77, C-78).

text_code! {
    /// How mail is tracked, from the strictest on: the stricter of two counts.
    pub enum TrackingMode {
        /// Not at all: links lead straight to where they lead.
        None = "none",
        /// Counted per template and day; nothing names a message or a person.
        Aggregate = "aggregate",
        /// Each mail's opens and clicks are known.
        Individual = "individual",
    }
}
