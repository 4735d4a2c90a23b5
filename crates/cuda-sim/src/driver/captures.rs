//! The capture of streams: work ordered into a stream becomes nodes of a graph.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::c_int,
    ptr,
    sync::{Arc, Mutex},
    thread::{self, ThreadId},
};

use super::{
    CuResult, Driver, Outcome,
    contexts::current,
    exports,
    graphs::Graph,
    handles::Handle,
    lock, say,
    streams::{Target, created, target},
    work::Work,
    write,
};

/// The values of `CUstreamCaptureMode`, which say what calls of which threads a capture forbids.
const GLOBAL: c_int = 0;
const THREAD_LOCAL: c_int = 1;
const RELAXED: c_int = 2;

/// The values of `CUstreamCaptureStatus`.
const STATUS_NONE: c_int = 0;
const STATUS_ACTIVE: c_int = 1;
const STATUS_INVALIDATED: c_int = 2;

/// An operation of a graph and the nodes that come before it.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) work: Work,
    pub(super) dependencies: BTreeSet<usize>,
}

/// The last nodes of a stream or an event, which the next node depends on.
pub(super) type Tail = BTreeSet<usize>;

/// A capture in progress, shared by the streams that take part in it.
pub(super) struct Capture {
    origin: Handle,
    mode: c_int,
    thread: ThreadId,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    nodes: Vec<Node>,
    tails: BTreeMap<Handle, Tail>,
    memory: Vec<u64>,
    invalidated: bool,
    ended: bool,
}

impl Capture {
    /// Adds work to `stream`, which takes part in this capture.
    pub(super) fn record(&self, stream: Handle, work: Work) -> Outcome {
        let mut state = lock(&self.state);
        if state.invalidated {
            return Err(CuResult::StreamCaptureInvalidated);
        }
        let node = state.nodes.len();
        let dependencies = state.tails.insert(stream, Tail::from([node])).unwrap_or_default();
        state.nodes.push(Node { work, dependencies });
        Ok(())
    }

    /// Makes an allocation part of the graph.
    pub(super) fn own(&self, address: u64) {
        lock(&self.state).memory.push(address);
    }

    /// Invalidates the capture: it can only be ended from now on, and yields no graph.
    pub(super) fn invalidate(&self) {
        lock(&self.state).invalidated = true;
    }

    /// Returns the nodes that an event recorded in `stream` now stands for.
    pub(super) fn tail(&self, stream: Handle) -> Tail {
        lock(&self.state).tails.get(&stream).cloned().unwrap_or_default()
    }

    /// Lets `stream` wait for an event of the same capture.
    pub(super) fn wait(&self, stream: Handle, tail: &Tail) {
        lock(&self.state).tails.entry(stream).or_default().extend(tail);
    }

    pub(super) fn ended(&self) -> bool {
        lock(&self.state).ended
    }
}

impl State {
    /// Returns whether every node leads to the end of the stream in which the capture began.
    fn joined(&self, origin: Handle) -> bool {
        let mut reached = BTreeSet::new();
        let mut open: Vec<usize> = self.tails.get(&origin).into_iter().flatten().copied().collect();
        while let Some(node) = open.pop() {
            if reached.insert(node) {
                open.extend(&self.nodes[node].dependencies);
            }
        }
        reached.len() == self.nodes.len()
    }
}

/// Refuses a call that a capture in progress forbids, that is one that waits for the whole device
/// or may do so, and invalidates the capture.
pub(super) fn refuse_if_unsafe(driver: &Driver) -> Outcome {
    for stream in driver.streams.all() {
        if let Some(capture) = &*lock(&stream.capture) {
            let own = capture.thread == thread::current().id();
            if capture.mode == GLOBAL || capture.mode == THREAD_LOCAL && own {
                capture.invalidate();
                return Err(CuResult::StreamCaptureUnsupported);
            }
        }
    }
    Ok(())
}

fn begin(stream: Handle, mode: c_int) -> Outcome {
    let (driver, context) = current()?;
    if !(GLOBAL..=RELAXED).contains(&mode) {
        return Err(CuResult::InvalidValue);
    }
    if stream == 2 {
        say("cuStreamBeginCapture: capture of the per-thread default stream is not supported");
        return Err(CuResult::NotSupported);
    }
    if stream < 2 {
        return Err(CuResult::StreamCaptureUnsupported);
    }
    let origin = created(driver, &context, stream)?;
    let mut capture = lock(&origin.capture);
    if capture.is_some() {
        return Err(CuResult::IllegalState);
    }
    *capture = Some(Arc::new(Capture {
        origin: stream,
        mode,
        thread: thread::current().id(),
        state: Mutex::new(State {
            tails: BTreeMap::from([(stream, Tail::new())]),
            ..State::default()
        }),
    }));
    Ok(())
}

fn end(stream: Handle) -> Outcome<Handle> {
    let (driver, context) = current()?;
    let Target::Capture(capture) = target(driver, &context, stream)? else {
        return Err(CuResult::IllegalState);
    };
    if capture.origin != stream {
        return Err(CuResult::StreamCaptureUnmatched);
    }
    if capture.mode != RELAXED && capture.thread != thread::current().id() {
        return Err(CuResult::StreamCaptureWrongThread);
    }
    for member in driver.streams.all() {
        let mut of_member = lock(&member.capture);
        if of_member.as_ref().is_some_and(|other| ptr::eq(&**other, &*capture)) {
            *of_member = None;
        }
    }
    let mut state = lock(&capture.state);
    state.ended = true;
    let joined = state.joined(stream);
    // The graph is made in any case, so that it frees the memory of its allocation nodes.
    let graph = Graph::new(
        context.handle,
        std::mem::take(&mut state.nodes),
        std::mem::take(&mut state.memory),
    );
    match (state.invalidated, joined) {
        (true, _) => Err(CuResult::StreamCaptureInvalidated),
        (_, false) => Err(CuResult::StreamCaptureUnjoined),
        _ => Ok(driver.graphs.insert(graph)),
    }
}

exports! {
    fn cuStreamBeginCapture_v2(stream: Handle, mode: c_int) {
        begin(stream, mode)
    }
    fn cuStreamEndCapture(stream: Handle, graph: *mut Handle) {
        match end(stream) {
            Ok(captured) => write(graph, captured),
            Err(error) => {
                write(graph, 0)?;
                Err(error)
            }
        }
    }
    fn cuStreamIsCapturing(stream: Handle, status: *mut c_int) {
        let (driver, context) = current()?;
        let value = match target(driver, &context, stream)? {
            Target::Now | Target::Stream(_) => STATUS_NONE,
            Target::Capture(capture) if lock(&capture.state).invalidated => STATUS_INVALIDATED,
            Target::Capture(_) => STATUS_ACTIVE,
        };
        write(status, value)
    }
}
