//! Graphs: captured work, replayed as often as wanted.

use std::{
    ffi::{c_int, c_uint},
    sync::Arc,
};

use super::{
    CuResult, Driver, Outcome,
    captures::Node,
    contexts::{Context, check_device, current},
    driver, exports,
    handles::Handle,
    queues::{finish, submit},
    say,
    streams::{Target, target},
    work::{Work, admit, run},
    write,
};

/// The flags `CUgraphInstantiate_flags`.
const AUTO_FREE_ON_LAUNCH: u64 = 1;
const UPLOAD: u64 = 2;
const DEVICE_LAUNCH: u64 = 4;
const USE_NODE_PRIORITY: u64 = 8;

/// The memory of a graph's allocation nodes, which stays reserved as long as something can run
/// them.
struct GraphMemory(Vec<u64>);

impl Drop for GraphMemory {
    fn drop(&mut self) {
        if let Ok(driver) = driver() {
            driver.allocations.release_graph_memory(driver, &self.0);
        }
    }
}

/// A captured graph. Its nodes are in an order that respects their dependencies.
pub(super) struct Graph {
    pub(super) context: Handle,
    nodes: Arc<Vec<Node>>,
    memory: Arc<GraphMemory>,
}

impl Graph {
    pub(super) fn new(context: Handle, nodes: Vec<Node>, memory: Vec<u64>) -> Self {
        Self { context, nodes: Arc::new(nodes), memory: Arc::new(GraphMemory(memory)) }
    }
}

/// A graph that is ready to launch, and independent of the graph it was made from.
pub(super) struct Executable {
    pub(super) context: Handle,
    nodes: Arc<Vec<Node>>,
    memory: Arc<GraphMemory>,
    auto_free: bool,
}

/// A launch of a graph.
#[derive(Clone)]
pub(super) struct Replay {
    nodes: Arc<Vec<Node>>,
    memory: Arc<GraphMemory>,
    auto_free: bool,
}

impl Replay {
    /// Checks the nodes when the launch is ordered.
    pub(super) fn admit(&self, driver: &Driver, context: &Context) -> Outcome {
        self.nodes.iter().try_for_each(|node| admit(driver, context, &node.work))
    }

    pub(super) fn run(&self, driver: &Driver, context: &Context) -> Outcome {
        if self.auto_free {
            driver.allocations.end_lives(&self.memory.0);
        }
        self.nodes.iter().try_for_each(|node| run(driver, context, &node.work))
    }
}

fn instantiate(executable: *mut Handle, graph: Handle, flags: u64) -> Outcome {
    let (driver, context) = current()?;
    let graph = driver.graphs.get(graph).map_err(|_| CuResult::InvalidValue)?;
    let known = AUTO_FREE_ON_LAUNCH | UPLOAD | DEVICE_LAUNCH | USE_NODE_PRIORITY;
    let both = AUTO_FREE_ON_LAUNCH | DEVICE_LAUNCH;
    if flags & !known != 0 || flags & both == both {
        return Err(CuResult::InvalidValue);
    }
    if flags & DEVICE_LAUNCH != 0 {
        say("cuGraphInstantiate: launches from the device are not supported");
        return Err(CuResult::NotSupported);
    }
    let made = Executable {
        context: context.handle,
        nodes: graph.nodes.clone(),
        memory: graph.memory.clone(),
        auto_free: flags & AUTO_FREE_ON_LAUNCH != 0,
    };
    // SAFETY: the caller of the exported function vouches for `executable`.
    unsafe { write(executable, driver.executables.insert(made)) }
}

fn launch(executable: Handle, stream: Handle) -> Outcome {
    let (driver, context) = current()?;
    let executable = driver.executables.get(executable).map_err(|_| CuResult::InvalidValue)?;
    let queued = match target(driver, &context, stream)? {
        Target::Capture(capture) => {
            say("cuGraphLaunch: a graph within a captured graph is not supported");
            capture.invalidate();
            return Err(CuResult::NotSupported);
        }
        Target::Stream(stream) => Some(stream),
        Target::Now => None,
    };
    let replay = Replay {
        nodes: executable.nodes.clone(),
        memory: executable.memory.clone(),
        auto_free: executable.auto_free,
    };
    match queued {
        // The launch itself tells whether memory of the one before is still alive.
        Some(stream) if !replay.memory.0.is_empty() => {
            finish(driver, &stream);
            replay.admit(driver, &context)?;
            replay.run(driver, &context)
        }
        _ => submit(stream, Work::Graph(replay)),
    }
}

exports! {
    fn cuGraphInstantiateWithFlags(executable: *mut Handle, graph: Handle, flags: u64) {
        instantiate(executable, graph, flags)
    }
    fn cuGraphLaunch(executable: Handle, stream: Handle) {
        launch(executable, stream)
    }
    fn cuGraphUpload(executable: Handle, stream: Handle) {
        let (driver, context) = current()?;
        target(driver, &context, stream)?;
        driver.executables.get(executable).map_err(|_| CuResult::InvalidValue).map(drop)
    }
    fn cuGraphGetNodes(graph: Handle, nodes: *mut Handle, count: *mut usize) {
        let graph = current()?.0.graphs.get(graph).map_err(|_| CuResult::InvalidValue)?;
        if !nodes.is_null() {
            say("cuGraphGetNodes: only the number of nodes is known, not handles for them");
            return Err(CuResult::NotSupported);
        }
        write(count, graph.nodes.len())
    }
    fn cuGraphExecDestroy(executable: Handle) {
        let (driver, _) = current()?;
        driver.executables.remove(executable).map_err(|_| CuResult::InvalidValue).map(drop)
    }
    fn cuGraphDestroy(graph: Handle) {
        let (driver, _) = current()?;
        driver.graphs.remove(graph).map_err(|_| CuResult::InvalidValue).map(drop)
    }
    fn cuGraphExecGetFlags(executable: Handle, flags: *mut u64) {
        let executable = current()?.0.executables.get(executable)?;
        write(flags, if executable.auto_free { AUTO_FREE_ON_LAUNCH } else { 0 })
    }
    fn cuDeviceGraphMemTrim(device: c_uint) {
        current()?;
        check_device(device as c_int).map(drop)
    }
}
