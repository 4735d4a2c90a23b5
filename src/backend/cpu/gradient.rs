//! The share of every row in the gradients of its inputs, by the formulas of the module
//! [`adjoint`](crate::adjoint).

use super::block::load;
use super::lanes::{Vector, work};
use super::layout::{Context, Layout};
use super::points::{Scale, initial_rows};
use super::staging::{Streams, TileSystems};
use super::sweep::{Room, Sweep, dot, scale_values};
use crate::error::Result;
use crate::inputs::Inputs;
use crate::memory::zeros;
use crate::real::ValuesMut;
use crate::shape::Places;
use std::ops::Range;

/// The place where the gradients of one input are written.
#[derive(Default)]
pub enum Place<'a> {
    /// The systems have values of their own, each a gradient of its own.
    Own(ValuesMut<'a>),
    /// The systems share the values, and their gradients are added up.
    Shared(&'a mut [f64]),
    /// Nobody asks for the gradients.
    #[default]
    Unwanted,
}

/// The place where the gradients of some consecutive systems go, the first being `origin`.
pub struct GradientSink<'a> {
    /// Number of the first system.
    pub origin: usize,
    /// Gradients of the inputs.
    pub inputs: Inputs<Place<'a>>,
    /// Places of the systems in the gradients of the whole batch, and that at which these gradients begin.
    pub places: &'a Inputs<Places>,
    pub first: Inputs<usize>,
    /// Gradient of the weights, if it is wanted: equation, initial, smoothness, periodic.
    pub weights: Option<&'a mut [f64]>,
    /// Magnitude from which on a number is not finite in the arrays of the gradients.
    pub limit: f64,
    /// Magnitude from which on a lane's share of a sum does not count as finite: the same for whole
    /// systems; parts of a system may have larger shares than their sum, which is what counts.
    pub share_limit: f64,
}

impl GradientSink<'_> {
    /// Sets the sums to zero.
    pub fn clear(&mut self) {
        for place in self.inputs.as_mut() {
            if let Place::Shared(sums) = place {
                sums.fill(0.0);
            }
        }
        if let Some(weights) = &mut self.weights {
            weights.fill(0.0);
        }
    }

    /// Returns the places of the points before and from the middle of a single system on; `sums` are
    /// those of the second half, and are set to zero.
    pub fn halves<'a>(
        &'a mut self,
        layout: &Layout,
        middle: usize,
        sums: &'a mut OtherSums,
    ) -> [GradientSink<'a>; 2] {
        let GradientSink { origin, places: of_systems, first: begin, limit, share_limit, .. } =
            *self;
        let places = self.inputs.as_mut().zip(layout.strides()).zip(sums.inputs.as_mut());
        let [mut first, mut second] = [Inputs::default(), Inputs::default()];
        let halves = places.map(|((place, stride), sums)| match place {
            Place::Unwanted => [Place::Unwanted, Place::Unwanted],
            Place::Own(values) => values.split_at(middle * stride).map(Place::Own),
            Place::Shared(values) => {
                sums.fill(0.0);
                // There is a step less than points, and a single half has what all points share.
                let middle = if stride > 0 { middle * stride } else { values.len() };
                let middle = middle.min(values.len());
                let halves = match sums.is_empty() {
                    true => values.split_at_mut(middle).into(),
                    false => [&mut **values, &mut **sums],
                };
                halves.map(Place::Shared)
            }
        });
        for (halves, to) in halves.into_iter().zip(first.as_mut().zip(second.as_mut())) {
            [*to.0, *to.1] = halves;
        }
        sums.weights.fill(0.0);
        let weights = self.weights.as_deref_mut();
        let other = weights.is_some().then_some(&mut sums.weights[..]);
        [(first, weights), (second, other)].map(|(inputs, weights)| GradientSink {
            origin,
            inputs,
            places: of_systems,
            first: begin,
            weights,
            limit,
            share_limit,
        })
    }

    /// Adds the sums of the second half.
    pub fn add(&mut self, others: &OtherSums) {
        for (place, others) in self.inputs.as_mut().into_iter().zip(others.inputs.as_ref()) {
            if let Place::Shared(sums) = place {
                for (sum, other) in sums.iter_mut().zip(others) {
                    *sum += other;
                }
            }
        }
        for (sum, other) in
            self.weights.iter_mut().flat_map(|sums| sums.iter_mut()).zip(others.weights)
        {
            *sum += other;
        }
    }

    /// Returns whether all sums are finite in the arrays of the gradients.
    pub fn sums_are_finite(&self) -> bool {
        self.inputs.as_ref().into_iter().all(|place| match place {
            Place::Shared(sums) => sums.iter().all(|sum| sum.abs() < self.limit),
            Place::Own(_) | Place::Unwanted => true,
        })
    }
}

/// What the second half of a single system adds up: gradients of what its points share, and of weights. By
/// default, nothing, for a system that is one half.
#[derive(Default)]
pub struct OtherSums {
    inputs: Inputs<Vec<f64>>,
    weights: [f64; 4],
}

impl OtherSums {
    /// Allocates the sums.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(layout: &Layout) -> Result<Self> {
        let inputs = layout.inputs.zip(layout.strides()).try_map(|(input, stride)| {
            let shared = stride == 0 || input.values == 0;
            zeros("gradient of a shared input", if shared { input.values.max(1) } else { 0 })
        })?;
        Ok(OtherSums { inputs, weights: [0.0; 4] })
    }
}

/// The gradients of a tile's systems in lanes: of a range of points, or summed over the points where
/// these share their values.
pub struct Gradient<V> {
    coefficients: Vec<V>,
    rhs: Vec<V>,
    initial: Vec<V>,
    steps: Vec<V>,
    /// Gradient of the weights: equation, initial, smoothness, periodic.
    weights: [V; 4],
    /// One in the lanes that hold a solved system, zero in the others.
    live: V,
    /// Zero in the lanes whose gradients have all been finite so far, NaN in the others.
    check: V,
}

/// The places of the gradients of a tile's systems.
pub struct Target<'a, 'b> {
    /// Where gradients go.
    pub sink: &'a mut GradientSink<'b>,
    /// Places of the systems there.
    pub streams: Inputs<Streams>,
}

impl<'a, 'b> Target<'a, 'b> {
    /// Finds the places of the systems in the sink.
    pub fn new(layout: &Layout, systems: TileSystems, sink: &'a mut GradientSink<'b>) -> Self {
        let places = sink.places.as_ref().zip(sink.first);
        let points = layout.strides().zip(layout.widths);
        let streams = places.zip(points).map(|((places, first), (point, width))| {
            let of_system = |system| places.of(system).wrapping_sub(first);
            Streams::new(of_system, places.shared(), [point, width], systems)
        });
        Target { streams, sink }
    }
}

impl<V: Vector> Gradient<V> {
    /// Allocates the lanes.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(layout: &Layout) -> Result<Self> {
        let Inputs { coefficients, rhs, initial_values, steps } = layout.staged();
        Ok(Gradient {
            coefficients: zeros("gradient of coefficients", coefficients)?,
            rhs: zeros("gradient of right-hand sides", rhs)?,
            initial: zeros("gradient of initial values", initial_values)?,
            steps: zeros("gradient of steps", steps)?,
            weights: Default::default(),
            live: V::default(),
            check: V::default(),
        })
    }

    /// Begins the gradients of the systems in the lanes that are `live`: zeros for what is added up over the
    /// points.
    #[inline(always)]
    pub fn begin(&mut self, layout: &Layout, live: V) {
        if layout.inputs.coefficients.inner[0] == 0 {
            self.coefficients.fill(V::default());
        }
        if layout.inputs.rhs.inner[0] == 0 {
            self.rhs.fill(V::default());
        }
        self.initial.fill(V::default());
        self.steps.fill(V::default());
        self.weights = Default::default();
        self.live = live;
        self.check = V::default();
    }

    /// Adds the shares of the rows that begin at the points of a range, given the solution z and the
    /// adjoint g, M g = z̄, and writes what is complete. The data of the range are loaded.
    pub fn add_range<const T: usize, const P: usize>(
        &mut self,
        sweep: &mut Sweep<'_, V>,
        range: Range<usize>,
        z: &[V],
        g: &[V],
        target: &mut Target<'_, '_>,
    ) {
        V::run(AddRange::<V, T, P> { gradient: self, sweep, range, z, g, target });
    }

    #[inline(always)]
    fn add_range_inlined<const T: usize, const P: usize>(
        &mut self,
        sweep: &mut Sweep<'_, V>,
        range: Range<usize>,
        z: &[V],
        g: &[V],
        target: &mut Target<'_, '_>,
    ) {
        let layout = &sweep.context.layout.fixed::<T, P>();
        let [each_c, each_b] = [layout.inputs.coefficients, layout.inputs.rhs]
            .map(|input| usize::from(input.inner[0] > 0));
        let places = target.sink.inputs.as_ref();
        let wanted = places.map(|place| !matches!(place, Place::Unwanted));
        let of_smoothness = wanted.steps || target.sink.weights.is_some();
        for t in range.clone() {
            let Room { points, .. } = &mut *sweep.room;
            points.make_rows(layout, t, V::splat(1.0));
            let at = t - range.start;
            let places =
                [wanted.coefficients.then_some(each_c * at), wanted.rhs.then_some(each_b * at)];
            self.add_equations(sweep, layout, t, places, [z, g]);
            self.add_initial(sweep, layout, t, [z, g]);
            if t == 0 && layout.closing {
                self.add_periodic(sweep.context, z, g);
            }
            if of_smoothness && t + 1 < layout.points {
                sweep.update::<T>(layout, t);
                self.add_smoothness::<T>(sweep, layout, t, [z, g]);
            }
        }
        let count = range.len();
        let Target { sink, streams } = target;
        let GradientSink { inputs, limit, share_limit, .. } = &mut **sink;
        let limits = [*limit, *share_limit];
        let (live, check, points) = (self.live, &mut self.check, [range.start, count]);
        if each_c > 0 {
            let values = &mut self.coefficients[..count * layout.widths.coefficients];
            let place = (&mut inputs.coefficients, limits);
            write(place, &streams.coefficients, points, values, live, check);
        }
        if each_b > 0 {
            let values = &mut self.rhs[..count * layout.widths.rhs];
            write((&mut inputs.rhs, limits), &streams.rhs, points, values, live, check);
        }
    }

    /// Writes what the sweep over all points has added up. Returns NaN in the lanes whose gradients
    /// are not all finite.
    #[inline(always)]
    pub fn finish(&mut self, layout: &Layout, target: &mut Target<'_, '_>) -> V {
        let Target { sink, streams } = target;
        let GradientSink { inputs, limit, share_limit, weights, .. } = &mut **sink;
        let limits = [*limit, *share_limit];
        let (live, check) = (self.live, &mut self.check);
        if layout.inputs.coefficients.inner[0] == 0 {
            let place = (&mut inputs.coefficients, limits);
            write(place, &streams.coefficients, [0, 1], &mut self.coefficients, live, check);
        }
        if layout.inputs.rhs.inner[0] == 0 {
            write((&mut inputs.rhs, limits), &streams.rhs, [0, 1], &mut self.rhs, live, check);
        }
        if !self.initial.is_empty() {
            let place = (&mut inputs.initial_values, limits);
            write(place, &streams.initial_values, [0, 1], &mut self.initial, live, check);
        }
        let steps = [0, self.steps.len() / layout.widths.steps];
        write((&mut inputs.steps, limits), &streams.steps, steps, &mut self.steps, live, check);
        let sums = weights.iter_mut().flat_map(|weights| weights.iter_mut());
        for (sum, weight) in sums.zip(&mut self.weights) {
            *weight = V::default().less(live, *weight, V::default());
            check_below(&[*weight], f64::INFINITY, check);
            for value in weight.to_array() {
                *sum += value;
            }
        }
        self.check
    }

    /// Returns the gradients of the steps (K or 1) at t.
    #[inline(always)]
    fn steps_at(&mut self, layout: &Layout, t: usize) -> &mut [V] {
        &mut self.steps[t * layout.inputs.steps.inner[0]..][..layout.widths.steps]
    }

    /// Adds to the gradient of the mean step at t, which the scale of a row depends on.
    #[inline(always)]
    fn add_to_mean(&mut self, layout: &Layout, t: usize, value: V) {
        let steps = self.steps_at(layout, t.min(layout.points - 2));
        let share = value / V::splat(steps.len() as f64);
        for step in steps {
            *step += share;
        }
    }

    /// Adds the shares of the equation rows of point t, whose coefficients stand in `rows`, to the
    /// gradients of coefficients and right-hand sides of the points at these places, where they are
    /// wanted; or writes them there, if points have their own.
    #[inline(always)]
    fn add_equations(
        &mut self,
        sweep: &Sweep<'_, V>,
        layout: &Layout,
        t: usize,
        [at_c, at_b]: [Option<usize>; 2],
        [z, g]: [&[V]; 2],
    ) {
        let context = sweep.context;
        let (p, q, qc) = (layout.block, layout.derivatives, layout.equation_derivatives);
        let points = &sweep.room.points;
        let weight = V::splat(context.options.weights.equation);
        let Scale { value: scale, slope } = points.scale(context, t, qc - 1);
        let factor = weight * scale;
        let squared = factor * factor;
        let (z, g) = (&z[t * p..][..p], &g[t * p..][..p]);
        let width = layout.states * qc;
        // What a point does not share with others is not added up.
        let [own_c, own_b] =
            [layout.inputs.coefficients, layout.inputs.rhs].map(|input| input.inner[0] > 0);
        let mut by_mean = V::default();
        for (e, (row, b)) in points.rows.chunks_exact(p).zip(points.rhs(layout, t)).enumerate() {
            let defect = *b - dot(row, z);
            let along = dot(row, g);
            let (residual, d_rhs) = (squared * defect, squared * along);
            let d_factor = (factor + factor) * along * defect;
            self.weights[0] = self.weights[0].plus(d_factor, scale);
            if let Some(slope) = slope {
                by_mean = by_mean.plus(d_factor * weight, slope);
            }
            if let Some(at_b) = at_b {
                let to = &mut self.rhs[at_b * layout.equations + e];
                *to = if own_b { d_rhs } else { *to + d_rhs };
            }
            let Some(at_c) = at_c else { continue };
            let to = &mut self.coefficients[at_c * layout.widths.coefficients + e * width..];
            for (k, to) in to[..width].chunks_exact_mut(qc).enumerate() {
                let (z, g) = (&z[k * q..][..q], &g[k * q..][..q]);
                for (j, to) in to.iter_mut().enumerate() {
                    let before = if own_c { V::default() } else { *to };
                    *to = before.plus(residual, g[j]).minus(d_rhs, z[j]);
                }
            }
        }
        if slope.is_some() {
            self.add_to_mean(layout, t, by_mean);
        }
    }

    #[inline(always)]
    fn add_initial(&mut self, sweep: &Sweep<'_, V>, layout: &Layout, t: usize, [z, g]: [&[V]; 2]) {
        let context = sweep.context;
        if t >= layout.given[0] {
            return;
        }
        let points = &sweep.room.points;
        let weight = V::splat(context.options.weights.initial) * points.first;
        for (k, j, at) in initial_rows(layout) {
            let at = t * layout.states * layout.given[1] + at;
            let Scale { value: scale, slope } = points.scale(context, t, j);
            let (factor, unknown) = (weight * scale, t * layout.block + k * layout.derivatives + j);
            let (defect, along) = (points.initial[at] - z[unknown], g[unknown]);
            let d_factor = (factor + factor) * along * defect;
            self.initial[at] = factor * factor * along;
            self.weights[1] = self.weights[1].plus(d_factor, scale);
            if let Some(slope) = slope {
                self.add_to_mean(layout, t, d_factor * weight * slope);
            }
        }
    }

    #[inline(always)]
    fn add_periodic(&mut self, context: &Context<'_>, z: &[V], g: &[V]) {
        let (layout, q) = (context.layout, context.layout.derivatives);
        let weight = V::splat(-2.0 * context.options.weights.periodic);
        let last = layout.first_border();
        for i in (0..layout.block).filter(|i| i % q + 1 < q) {
            let product = (z[i] - z[last + i]) * (g[i] - g[last + i]);
            self.weights[3] = self.weights[3].plus(weight, product);
        }
    }

    /// Adds the shares of the smoothness rows. With y = diag(h^p) z, a = C y and a' = C diag(p) y, and
    /// the same of g, the rows of a state have the derivative −w²/h (a_z·a'_g + a'_z·a_g) with respect
    /// to the length h.
    #[inline(always)]
    fn add_smoothness<const T: usize>(
        &mut self,
        sweep: &mut Sweep<'_, V>,
        layout: &Layout,
        t: usize,
        [z, g]: [&[V]; 2],
    ) {
        let (p, q) = (layout.block, layout.derivatives);
        let weight = V::splat(sweep.context.options.weights.smoothness);
        let Room { points, smoothness, scaled, .. } = &mut *sweep.room;
        let scale = points.point_scale(t);
        let factor = weight * scale;
        let slacks = layout.slack.map(|slack| [z[slack], g[slack]]);
        for (k, span) in layout.spans(t) {
            let (table, powers, reciprocal) = smoothness.rows(points, layout, t, k, span);
            let (z, g) = (&z[t * p + k * q..], &g[t * p + k * q..]);
            let [products, slope] = if T > 1 && span == 2 {
                let [z, g]: [[[V; T]; 2]; 2] =
                    [scaled_pair(z, p, powers), scaled_pair(g, p, powers)];
                let [mut d_z, mut d_g] = [[V::default(); T]; 2];
                let values = [z.as_flattened(), g.as_flattened()];
                table.products_of_pair(values, [&mut d_z, &mut d_g], slacks)
            } else {
                let (values, rest) = scaled.split_at_mut(2 * span * q);
                let (of_z, of_g) = values.split_at_mut(span * q);
                scale_values(z, p, powers, of_z);
                scale_values(g, p, powers, of_g);
                if span == 2 {
                    let (d_z, d_g) = rest[..2 * q].split_at_mut(q);
                    table.products_of_pair([of_z, of_g], [d_z, d_g], slacks)
                } else {
                    for (slopes, values) in rest.chunks_exact_mut(q).zip(values.chunks_exact(q)) {
                        for j in 0..q {
                            slopes[j] = table.exponent::<V>(j) * values[j];
                        }
                    }
                    let (d_z, d_g) = rest[..2 * span * q].split_at(span * q);
                    let (of_z, of_g) = values.split_at(span * q);
                    let slacks = slacks.unwrap_or_default();
                    table.products::<V, T>([of_z, of_g, d_z, d_g], slacks)
                }
            };
            self.weights[2] = self.weights[2].minus((factor + factor) * scale, products);
            let by_length = -(factor * factor * slope) * reciprocal;
            for t in t..t + span - 1 {
                let steps = self.steps_at(layout, t);
                let at = k.min(steps.len() - 1);
                steps[at] += by_length;
            }
        }
    }
}

/// Returns the values of one state at two points, `p` apart, times the powers.
#[inline(always)]
fn scaled_pair<V: Vector, const T: usize>(x: &[V], p: usize, powers: &[V]) -> [[V; T]; 2] {
    let (powers, mut scaled) = (load::<V, T>(powers, 0), [load(x, 0), load(x, p)]);
    for of_point in &mut scaled {
        for j in 0..T {
            of_point[j] = powers[j] * of_point[j];
        }
    }
    scaled
}

work! {
    AddRange<'a, 'b, 'c, 'd; T: usize, P: usize> {
        gradient: &'a mut Gradient<V>,
        sweep: &'a mut Sweep<'b, V>,
        range: Range<usize>,
        z: &'a [V],
        g: &'a [V],
        target: &'a mut Target<'c, 'd>,
    }
    gradient.add_range_inlined::<T, P>(sweep, range, z, g, target)
}

/// Writes the gradients of the lanes that are live, zeros for the others, and makes `check` NaN in the lanes where
/// one reaches the limit of gradients or that of shares of a sum.
#[inline(always)]
fn write<V: Vector>(
    (place, [limit, share_limit]): (&mut Place<'_>, [f64; 2]),
    streams: &Streams,
    [first, count]: [usize; 2],
    values: &mut [V],
    live: V,
    check: &mut V,
) {
    if !V::default().all_less(live) {
        for value in values.iter_mut() {
            *value = V::default().less(live, *value, V::default());
        }
    }
    match place {
        Place::Own(_) => check_below(values, limit, check),
        Place::Shared(_) => check_below(values, share_limit, check),
        Place::Unwanted => {}
    }
    match place {
        Place::Unwanted => {}
        Place::Own(place) => streams.store(place, first, count, values),
        Place::Shared(sums) if streams.summed => streams.add(sums, first, count, values),
        Place::Shared(sums) => streams.store(&mut ValuesMut::Double(sums), first, count, values),
    }
}

/// Makes `check` NaN in the lanes where a value is not below the limit.
#[inline(always)]
pub fn check_below<V: Vector>(values: &[V], limit: f64, check: &mut V) {
    for value in values {
        *check = value.abs().less(V::splat(limit), *check, V::splat(f64::NAN));
    }
}
