//! What was measured, one row per question, with the ratio to its counterpart in the same run.

pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) ours: String,
    pub(crate) beside: String,
    pub(crate) ratio: f64,
    /// What the ratio is to be at least; None where nothing is asked for.
    pub(crate) wanted: Option<f64>,
}

impl Row {
    /// Something else, compared with the previous row.
    pub(crate) fn beside(beside: String, ratio: f64, wanted: Option<f64>) -> Self {
        Self { what: String::new(), ours: String::new(), beside, ratio, wanted }
    }
}

pub(crate) fn print(rows: &[Row]) {
    let width = |cell: fn(&Row) -> &str| rows.iter().map(|row| cell(row).chars().count()).max().unwrap_or(0);
    let (what, ours, beside) = (width(|row| &row.what), width(|row| &row.ours), width(|row| &row.beside));
    println!("{:what$}  {:ours$}  {:beside$}  ratio  wanted", "", "coalesced", "beside");
    for row in rows {
        let wanted = row.wanted.map_or(String::new(), |wanted| {
            format!(">= {wanted:.2}{}", if row.ratio < wanted { "  MISSED" } else { "" })
        });
        println!("{:what$}  {:ours$}  {:beside$}  {:5.2}  {wanted}", row.what, row.ours, row.beside, row.ratio);
    }
}

/// The middle one.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Whether only a first look is wanted.
pub(crate) fn quick() -> bool {
    std::env::args().any(|word| word == "--quick")
}

pub(crate) const MIB: u64 = 1024 * 1024;

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}
