//! What Nsight Compute counted beside what the simulated driver did, for the same launches.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

use crate::{Failure, table::Table};

/// Metrics of Nsight Compute that are compared, whose names the script gives it too.
const METRICS: [&str; 9] = [
    "smsp__inst_executed.sum",
    "smsp__thread_inst_executed_per_inst_executed.ratio",
    "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum",
    "l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum",
    "l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum",
    "smsp__inst_executed_op_local_ld.sum",
    "dram__bytes.sum",
    "smsp__issue_active.avg.pct_of_peak_sustained_active",
    "gpu__time_duration.sum",
];

/// Returns the same of a launch that was simulated, as far as the simulator knows it.
fn simulated(metric: &str, counters: &Value) -> Value {
    let number = |name: &str| counters[name].as_f64().unwrap_or(0.0);
    match metric {
        "smsp__inst_executed.sum" => counters["warp_instructions"]["total"].clone(),
        "smsp__thread_inst_executed_per_inst_executed.ratio" => {
            (32.0 * number("active_lane_efficiency")).into()
        }
        "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum" => counters["global_load_sectors"].clone(),
        "l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum" => {
            counters["global_store_sectors"].clone()
        }
        "l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum" => counters["bank_conflicts"].clone(),
        "dram__bytes.sum" => {
            (number("distinct_bytes_read") + number("distinct_bytes_written")).into()
        }
        _ => Value::Null,
    }
}

/// Kernels with their launches in order, each a value for each metric.
type Launches<'a> = BTreeMap<String, Vec<BTreeMap<&'a str, Value>>>;

/// Compares launch by launch. Without a file of Nsight Compute the simulated figures stand alone.
pub fn compare(ncu: Option<&Path>, simulator: &Path) -> Result<Table, Failure> {
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let counted = ncu.map(|path| read(path).and_then(|text| of_ncu(&text))).transpose()?;
    let simulated = of_simulator(&read(simulator)?)?;
    let mut table =
        Table::new(&["kernel", "launch", "metric", "counted", "simulated", "counted / simulated"]);
    for (kernel, launches) in &simulated {
        for (place, launch) in launches.iter().enumerate() {
            for metric in METRICS {
                let of_launch =
                    |all: &Launches| Some(all.get(kernel)?.get(place)?.get(metric)?.clone());
                let card = counted.as_ref().and_then(of_launch).unwrap_or(Value::Null);
                let ours = launch[metric].clone();
                let ratio = match (card.as_f64(), ours.as_f64()) {
                    (Some(card), Some(ours)) if ours != 0.0 => (card / ours).into(),
                    _ => Value::Null,
                };
                if !(card.is_null() && ours.is_null()) {
                    table.push([
                        kernel.as_str().into(),
                        (place + 1).into(),
                        metric.into(),
                        card,
                        ours,
                        ratio,
                    ]);
                }
            }
        }
    }
    if counted.is_none() {
        table.notes.push("no figures of Nsight Compute: the simulated ones stand alone".into());
    }
    table.notes.push(
        "The simulator counts instructions of PTX and every distinct byte once; a card counts those of \
         its machine code, and the bytes that its caches do not serve."
            .into(),
    );
    Ok(table)
}

/// Whether a unit of Nsight Compute is a multiple of another, as Mbyte is, or a time other than in
/// nanoseconds.
fn is_scaled(unit: &str) -> bool {
    let times = ["us", "usecond", "ms", "msecond", "s", "second"];
    unit.starts_with(['K', 'M', 'G', 'T']) || times.contains(&unit)
}

/// Reads `ncu --csv --page raw --print-units base`: lines of the tool, then a head, a line of units and a line for each
/// launch.
fn of_ncu(text: &str) -> Result<Launches<'static>, String> {
    let failed = |error: csv::Error| format!("the figures of Nsight Compute: {error}");
    let start = text.find("\"ID\"").ok_or_else(|| {
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        format!("Nsight Compute has counted nothing: {}", lines.join(" "))
    })?;
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).from_reader(&text.as_bytes()[start..]);
    let head = reader.headers().map_err(failed)?.clone();
    let column = |name: &str| head.iter().position(|head| head == name);
    let kernel = column("Kernel Name").ok_or("Nsight Compute names no kernels")?;
    let mut launches = Launches::new();
    for record in reader.records() {
        let record = record.map_err(failed)?;
        // The line of units names no kernel. A scaled unit, as in Mbyte, would be misread.
        let Some(name) = record.get(kernel).filter(|name| !name.is_empty()) else {
            let units = METRICS.into_iter().filter_map(|metric| record.get(column(metric)?));
            match units.into_iter().find(|unit| is_scaled(unit)) {
                Some(unit) => return Err(format!("Nsight Compute counts in {unit:?}")),
                None => continue,
            }
        };
        let value = |metric| -> Value {
            let text = column(metric).and_then(|column| record.get(column));
            let number = text.and_then(|text| text.replace(',', "").parse::<f64>().ok());
            number.map_or(Value::Null, Value::from)
        };
        let values = METRICS.into_iter().map(|metric| (metric, value(metric))).collect();
        let name = name.split('(').next().unwrap_or(name).to_owned();
        launches.entry(name).or_default().push(values);
    }
    Ok(launches)
}

/// Reads the file of `CUDA_SIM_COUNTERS`.
fn of_simulator(text: &str) -> Result<Launches<'static>, String> {
    let json: Value = serde_json::from_str(text)
        .map_err(|error| format!("the counters of the simulated driver: {error}"))?;
    let mut launches = Launches::new();
    for launch in json["launches"].as_array().into_iter().flatten() {
        let name = launch["kernel"].as_str().unwrap_or_default().to_owned();
        let values = METRICS.map(|metric| (metric, simulated(metric, &launch["counters"])));
        launches.entry(name).or_default().push(values.into());
    }
    Ok(launches)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NCU: &str = "\
==PROF== Connected to process 7
\"ID\",\"Kernel Name\",\"dram__bytes.sum\",\"smsp__inst_executed.sum\"
\"\",\"\",\"byte\",\"inst\"
\"0\",\"sum_partials\",\"1,024\",\"300\"
\"1\",\"sum_partials\",\"64\",\"20\"
";
    const SIMULATOR: &str = r#"{"launches": [
        {"kernel": "sum_partials", "counters": {
            "warp_instructions": {"total": 150}, "distinct_bytes_read": 500,
            "distinct_bytes_written": 12, "active_lane_efficiency": 0.5}}]}"#;

    #[test]
    fn scaled_units_are_refused() {
        let message = of_ncu(&NCU.replace("\"byte\"", "\"Mbyte\"")).err().unwrap();
        assert!(message.contains("Mbyte"), "{message}");
    }

    #[test]
    fn launches_are_compared_in_order() {
        let directory = std::env::temp_dir().join(format!("gpu-bench-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (ncu, simulator) = (directory.join("ncu.csv"), directory.join("simulator.json"));
        fs::write(&ncu, NCU).unwrap();
        fs::write(&simulator, SIMULATOR).unwrap();
        let text = compare(Some(&ncu), &simulator).unwrap().to_string();
        assert!(text.contains("| smsp__inst_executed.sum | 300.0 | 150 | 2.000 |"), "{text}");
        assert!(text.contains("| dram__bytes.sum | 1024 | 512.0 | 2.000 |"), "{text}");
        let alone = compare(None, &simulator).unwrap().to_string();
        assert!(alone.contains("| smsp__inst_executed.sum |  | 150 |  |"), "{alone}");
        fs::write(&ncu, "==ERROR== ERR_NVGPUCTRPERM\n").unwrap();
        let message = compare(Some(&ncu), &simulator).err().unwrap().to_string();
        assert!(message.contains("ERR_NVGPUCTRPERM"), "{message}");
        fs::remove_dir_all(&directory).unwrap();
    }
}
