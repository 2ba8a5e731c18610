//! The figures, as a table and for the file.

use crate::Args;
use crate::agents::{self, Spent};
use crate::audit::Asked;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;
use std::collections::BTreeMap;

/// The bars of an agent: of one core for the pods of a node; for each workload that it holds a decision (10 ms) a second and training (1 s) a
/// minute; bytes.
const CPU: f64 = 0.05;
const CPU_HELD: f64 = 0.010 + 1.0 / 60.0;
const MEMORY: f64 = 100e6;
/// Who is ours.
const OURS: [&str; 2] = ["foreshadow-node", "foreshadow-controller"];
/// Who is beside us in the table.
const BESIDE: &str = "horizontal-pod-autoscaler";
/// Lines of what somebody asks for that are shown.
const SHOWN: usize = 6;

/// Least, median and most of a figure over agents.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Least.
    pub min: f64,
    /// Median.
    pub median: f64,
    /// Most.
    pub max: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |i: usize| values.get(i).copied().unwrap_or(0.0);
        Self { min: at(0), median: at(values.len() / 2), max: at(values.len().saturating_sub(1)) }
    }
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Simulated nodes, each with an agent.
    pub nodes: u16,
    /// Workloads.
    pub workloads: u16,
    /// Their pods.
    pub pods: usize,
    /// Seconds measured.
    pub seconds: f64,
    /// Workloads held by an agent.
    pub held: Spread,
    /// Processor time of an agent, of one core.
    pub agent_cpu_ratio: Spread,
    /// The same, as a share of what it may take with what it holds.
    pub agent_cpu_of_budget_ratio: Spread,
    /// Memory of an agent.
    pub agent_resident_bytes: Spread,
    /// The controller.
    pub controller: Spent,
    /// Requests a second to the API server by who asks, then by what for.
    pub requests_per_s: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Figures {
    /// From what was counted.
    pub fn of(args: &Args, seconds: f64, holders: &BTreeMap<String, usize>, spent: &(Vec<Spent>, Spent), asked: Asked) -> Self {
        // An agent that holds nothing is in no Lease.
        let none = usize::from(args.nodes).saturating_sub(holders.len());
        let held = holders.values().map(|n| *n as f64).chain(std::iter::repeat_n(0.0, none));
        let budget = |i: usize| CPU + CPU_HELD * holders.get(&agents::name(i)).map_or(0.0, |n| *n as f64);
        let of_budget = spent.0.iter().enumerate().map(|(i, s)| s.cpu_ratio / budget(i));
        let rates = |by: BTreeMap<String, u64>| by.into_iter().map(|(what, n)| (what, n as f64 / seconds)).collect();
        Self {
            nodes: args.nodes,
            workloads: args.workloads,
            pods: args.pods(),
            seconds,
            held: Spread::of(held),
            agent_cpu_ratio: Spread::of(spent.0.iter().map(|s| s.cpu_ratio)),
            agent_cpu_of_budget_ratio: Spread::of(of_budget),
            agent_resident_bytes: Spread::of(spent.0.iter().map(|s| s.resident_bytes)),
            controller: spent.1,
            requests_per_s: asked.into_iter().map(|(who, by)| (who, rates(by))).collect(),
        }
    }

    /// For the terminal.
    pub fn table(&self) -> String {
        let held = |x: f64, bar: f64| if x <= bar { "holds" } else { "FALLS SHORT" };
        let (cpu, memory) = (self.agent_cpu_ratio, self.agent_resident_bytes);
        format!(
            "{} workloads, {} pods on {} simulated nodes, {:.0} s\n\
             workloads an agent holds: {:.0} to {:.0}, median {:.0}\n\
             processor of an agent: median {:.2} %, most {:.2} % of one core\n\
             of the bar ({:.0} % for its pods, {:.1} % for each workload it holds): median {:.2}, most {:.2}   ({})\n\
             memory of an agent: median {:.0} MB, most {:.0} MB   (bar {:.0} MB: {})\n\
             controller: {:.2} % of one core, {:.0} MB\n\
             requests a second to the API server:\n{}",
            self.workloads,
            self.pods,
            self.nodes,
            self.seconds,
            self.held.min,
            self.held.max,
            self.held.median,
            100.0 * cpu.median,
            100.0 * cpu.max,
            100.0 * CPU,
            100.0 * CPU_HELD,
            self.agent_cpu_of_budget_ratio.median,
            self.agent_cpu_of_budget_ratio.max,
            held(self.agent_cpu_of_budget_ratio.max, 1.0),
            memory.median / 1e6,
            memory.max / 1e6,
            MEMORY / 1e6,
            held(memory.max, MEMORY),
            100.0 * self.controller.cpu_ratio,
            self.controller.resident_bytes / 1e6,
            self.requests(),
        )
    }

    fn requests(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(["who", "all", "most of them"]);
        let mut all: Vec<(&String, f64, &BTreeMap<String, f64>)> =
            self.requests_per_s.iter().map(|(who, by)| (who, by.values().sum(), by)).collect();
        let place = |who: &str| OURS.contains(&who).then_some(0).or_else(|| (who == BESIDE).then_some(1)).unwrap_or(2);
        all.sort_by(|a, b| (place(a.0), -a.1).partial_cmp(&(place(b.0), -b.1)).unwrap_or(std::cmp::Ordering::Equal));
        for (who, sum, by) in all {
            let mut by: Vec<_> = by.iter().collect();
            by.sort_by(|a, b| b.1.total_cmp(a.1));
            let said: Vec<String> = by.iter().take(SHOWN).map(|(what, rate)| format!("{what} {rate:.2}")).collect();
            table.add_row([who.clone(), format!("{sum:.2}"), said.join(", ")]);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}
