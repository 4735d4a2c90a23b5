// What the team kernels have in common: a team's place and memory, and the refined solve of M x =
// rhs with a factor that is already there.

#ifndef MECHANISTIC_TEAM_SOLVE_CUH
#define MECHANISTIC_TEAM_SOLVE_CUH

#include "team/residual.cuh"
#include "team/separators.cuh"

// The place of a thread: its team, and what the team has.
template <Kind KIND>
struct TeamContext {
    const TeamPlan &plan;
    const Sizes sizes;
    const Sizes of_team;  // where teams share a system, as the team's chunk or half sees them; else
                          // the same
    const Places places;
    Team<KIND> team;
    int chunk;      // of the system, or half
    int64_t index;  // of the team in the launch, or of the block that shares a system
    bool idle;      // whether the thread is in no team, or its team has no system
    SharedTable pair, triple;
    char *memory;    // of the team
    double *notes;   // (team, 2): for sums over the team
    double *shares;  // (C, 2): for sums over the chunks or halves

    // The part of the team that the thread is in, which works on points by itself, and its number
    // among those of the system. Warps for which there is no memory are in none.
    static constexpr Kind PART = PART_OF<KIND>;
    Team<PART> part;
    int part_number;

    // Finds the team of the thread. All threads of the block must call it.
    __device__ explicit TeamContext(const TeamPlan &plan)
        : plan(plan),
          sizes(KIND == TWISTED ? Sizes(plan.problem).without_border() : Sizes(plan.problem)),
          of_team(seen_by_team(sizes, plan)),
          places(band()),
          chunk(0) {
        extern __shared__ double shared_memory[];
        char *start = reinterpret_cast<char *>(shared_memory);
        if (KIND == GLOBAL) {
            start = static_cast<char *>(plan.memory) +
                    int64_t(blockIdx.x) * (plan.common_bytes + plan.team_bytes);
        }
        const TeamLayout &layout = plan.layout;
        const double weight = plan.problem.weight_smoothness;
        const SharedTable two = SharedTable::filled(start, layout.pair, plan.problem.pair, 2,
                                                    sizes.derivatives, weight);
        const SharedTable three = SharedTable::filled(start, layout.triple, plan.problem.triple, 3,
                                                      sizes.derivatives, weight);
        pair = two;
        triple = KIND == TWISTED ? SharedTable{} : three;
        shares = array(start, layout.shares);

        int in_block = 0, per_block = 1;
        team.size = plan.team_threads;
        team.rank = threadIdx.x;
        team.lanes = 0xffffffffu;
        team.barrier = 0;
        bool member = true;
        if (KIND == WARP || KIND == CHUNK) {
            const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, per_warp = 32 / team.size;
            const int in_warp = lane / team.size;
            team.rank = lane - in_warp * team.size;
            team.lanes = (0xffffffffu >> (32 - team.size)) << (in_warp * team.size);
            in_block = warp * per_warp + in_warp;
            per_block = blockDim.x / 32 * per_warp;
            member = in_warp < per_warp;
        }
        if (KIND == TWISTED) {
            in_block = half(plan);
            team.rank -= in_block * team.size;
            team.barrier = 1 + in_block;
        }
        if (IS_SHARED<KIND>) {
            // No thread of the block is idle.
            chunk = in_block;
            per_block = 1;
        }
        index = int64_t(blockIdx.x) * per_block + (IS_SHARED<KIND> ? 0 : in_block);
        idle = !member || index * plan.group >= plan.problem.batch;
        memory = start + plan.common_bytes + in_block * plan.team_bytes;
        notes = array(memory, layout.notes);

        part = {team.rank, team.size, team.lanes, 0};
        part_number = chunk;
        if (PART != KIND) {
            const int warp = team.rank / 32;
            part = {team.rank % 32, 32, 0xffffffffu, 0};
            part_number = warp < plan.parts ? chunk * plan.parts + warp : parts();
        }
    }

    // The team takes its systems one after another, from the first one to before the end.
    __device__ int64_t first_system() const { return index * plan.group; }
    __device__ int64_t end_of_systems() const {
        return min(first_system() + plan.group, plan.problem.batch);
    }

    __device__ const Sizes &band() const {
        if constexpr (IS_SHARED<KIND>) {
            return of_team;
        } else {
            return sizes;
        }
    }

    // Waits for all threads that work on the system, and makes their writes visible.
    __device__ void sync() const {
        if (IS_SHARED<KIND>) {
            __syncthreads();
        } else {
            team.sync();
        }
    }

    // Returns the number of parts of the system, and the first point of one; those of the last end
    // with the points.
    __device__ int parts() const { return plan.chunks * plan.parts; }
    __device__ int first_point(int part) const {
        return int(int64_t(part) * sizes.points / parts());
    }
    // Returns whether the thread is in a part.
    __device__ bool has_part() const { return part_number < parts(); }
    // Returns a place in the memory of the team. It is hidden from the compiler, which would
    // otherwise keep the addresses of all arrays there in registers while other work is done.
    __device__ char *hidden(int64_t place) const {
        asm volatile("" : "+l"(place));
        return memory + place;
    }
    // Returns the memory of the part.
    __device__ char *part_memory() const {
        return hidden(PART == KIND ? 0 : team.rank / 32 * plan.part_bytes);
    }
    // Returns what eliminates.
    __device__ Rows<KIND> rows() const {
        Rows<KIND> rows(plan.problem, sizes, team, pair, triple, memory, plan.layout.rows);
        rows.backward = band().ahead < 0;
        return rows;
    }
    __device__ Banded<KIND> banded() const {
        return {band(), places, team, memory, plan.layout.band};
    }
    // Returns the rows that the part stages, with arrays of its own in its memory.
    __device__ Rows<PART> rows_of_part(char *memory, const RowsLayout &layout) const {
        return {plan.problem, sizes, part, pair, triple, memory, layout};
    }
    // Returns the same array of another part.
    __device__ double *of_part(double *array, int part) const {
        return array + (place_of(part) - place_of(part_number)) / int64_t(sizeof(double));
    }

    // Returns the distance from an array of the team to that of the other half, in values.
    __device__ int64_t to_other_half() const {
        return (chunk == 0 ? plan.team_bytes : -plan.team_bytes) / int64_t(sizeof(double));
    }

    // Returns whether this team does what is done once for a system.
    __device__ bool leads() const { return chunk == 0; }

    // Merges all threads' values in the order of the threads; the result is the same on all of
    // them.
    template <class T, class Merge>
    __device__ T gather(T mine, Merge merge) const {
        static_assert(sizeof(T) <= 2 * sizeof(double), "room for the notes of a thread");
        T *all = reinterpret_cast<T *>(notes);
        all[team.rank] = mine;
        team.sync();
        T total = all[0];
#pragma unroll 4
        for (int i = 1; i < team.size; ++i) {
            merge(total, all[i]);
        }
        if (IS_SHARED<KIND>) {
            T *chunks = reinterpret_cast<T *>(shares);
            if (team.rank == 0) {
                chunks[chunk] = total;
            }
            sync();
            total = chunks[0];
#pragma unroll 1
            for (int k = 1; k < plan.chunks; ++k) {
                merge(total, chunks[k]);
            }
        }
        sync();
        return total;
    }
    __device__ double sum(double mine) const {
        return gather(mine, [](double &total, double other) { total += other; });
    }

  private:
    // Returns where the memory of a part begins, after that of the block.
    __device__ int64_t place_of(int part) const {
        const int team = part / plan.parts;
        return team * plan.team_bytes + (part - team * plan.parts) * plan.part_bytes;
    }
    // Returns the half of the block that the warp is in. A shuffle tells the compiler that it is
    // the same for all lanes, which so stay together.
    __device__ static int half(const TeamPlan &plan) {
        return __shfl_sync(0xffffffffu, int(threadIdx.x) / plan.team_threads, 0);
    }
    __device__ static Sizes seen_by_team(const Sizes &sizes, const TeamPlan &plan) {
        if constexpr (KIND == TWISTED) {
            return sizes.of_half(half(plan));
        } else if constexpr (KIND == CHUNK) {
            return sizes.of_chunk(threadIdx.x / plan.team_threads, plan.chunks);
        } else {
            return sizes;
        }
    }
};

// The solve of M x = rhs with a factor that is already there, and its refinement.
template <Kind KIND>
struct RefinedSolve {
    const TeamContext<KIND> &context;
    const Sizes sizes;  // of the team's chunk or half
    const Team<KIND> team;
    const int64_t system;
    double *iterates;      // (…, unknowns)
    const int64_t number;  // of the iterate among them

    __device__ RefinedSolve(const TeamContext<KIND> &context, int64_t system, double *iterates,
                            int64_t number)
        : context(context),
          sizes(context.band()),
          team(context.team),
          system(system),
          iterates(iterates),
          number(number) {}

    // Return the factor of the system, and the vectors (unknowns): the iterate; the right-hand
    // side, then v, then whatever comes; and in the forward solve, where directions are not needed
    // yet, the diagonal of M. The compiler finds them anew each time, and keeps none while other
    // work is done.
    __device__ double *factor() const {
        return context.plan.factor + hidden(system) * context.plan.factor_values;
    }
    __device__ double *iterate() const { return iterates + hidden(number) * context.plan.unknowns; }
    __device__ double *substituted() const {
        return context.plan.substituted + hidden(context.index) * context.plan.unknowns;
    }
    __device__ double *diagonal() const {
        return context.plan.direction + hidden(context.index) * context.plan.unknowns;
    }

    // Sets the right-hand side to given(unknown), the slack being unknown N·P.
    template <class Given>
    __device__ void set(Given given) const {
        double *substituted = this->substituted();
        const int p = sizes.block, number = context.part_number;
        if (context.has_part()) {
            const int64_t end = int64_t(context.first_point(number + 1)) * p;
#pragma unroll 4
            for (int64_t i = int64_t(context.first_point(number)) * p + context.part.rank; i < end;
                 i += context.part.size) {
                substituted[i] = given(i);
            }
        }
        set_slack(given, 0);
    }

    // Sets the right-hand side to given(unknown), and AᵀW²(β − A·iterate) in addition; β is zero
    // without `data`.
    template <class Given>
    __device__ void set_residual(bool data, Given given) const {
        using Of = Residual<TeamContext<KIND>::PART>;
        double *substituted = this->substituted();
        const ResidualLayout &layout = context.plan.layout.residual;
        char *memory = context.part_memory();
        Of residual(context.rows_of_part(memory, layout.rows), memory, layout);
        const int p = sizes.block, number = context.part_number;
        if (context.has_part()) {
            residual.visit(system, iterate(), data, context.first_point(number),
                           context.first_point(number + 1), [&](int t, int i, double value) {
                               const int64_t unknown = int64_t(t) * p + i;
                               substituted[unknown] = given(unknown) + value;
                           });
        }
        set_slack(given, residual.slack);
    }

    // Solves Rᵀ v = rhs.
    __device__ void forward() const {
        double *factor = this->factor(), *substituted = this->substituted();
        const int p = sizes.block;
        const Substitution<KIND> substitution = this->substitution();
        substitution.fetch(factor, sizes.first, substituted);
        if (!IS_SHARED<KIND>) {
            substitution.fetch_border(factor);
        }
        substitution.start_forward();
        substitution.arrive();
#pragma unroll 1
        for (int t = sizes.first; t != sizes.end; t += sizes.ahead) {
            const bool last = t + sizes.ahead == sizes.end;
            if (!last) {
                substitution.fetch(factor, t + sizes.ahead, substituted);
            }
            if (KIND == TWISTED && last && sizes.ahead > 0) {
                // The middle gets what the other half takes off.
                context.sync();
                const int64_t to_other = context.to_other_half();
#pragma unroll 1
                for (int i = team.rank; i < p; i += team.size) {
                    substitution.taken[i] += (substitution.taken + to_other)[i];
                }
                team.sync();
            }
            substitution.forward(factor, t, substitution.rhs(substituted, t), substituted);
            // The team waits before another block row takes the place of this one.
            substitution.arrive();
        }
        if constexpr (KIND == TWISTED) {
            if (sizes.ahead < 0) {
                context.sync();
            }
        } else {
            complete_forward(substitution);
        }
    }

    // Solves R x = v, once v is there, by Substitution::backward, or by the same chunk by chunk.
    template <class Emit>
    __device__ void backward(int probe, const double *other, Emit emit) const {
        const double *factor = this->factor(), *substituted = this->substituted();
        const Substitution<KIND> substitution = this->substitution();
        if constexpr (KIND == CHUNK) {
            if (context.leads()) {
                of_separators(
                    [&](Separators<KIND> &system) { system.backward(probe, other, emit); });
            }
            context.sync();
            const RecordLayout layout(context.sizes, context.plan.chunks);
            const double *solution =
                workspace() + context.plan.chunks * layout.values + layout.unknowns;
            substitution.backward_chunk(factor, substituted, solution, layout.unknowns,
                                        context.chunk, probe, other, emit);
        } else if constexpr (KIND == TWISTED) {
            substitution.backward_half(factor, substituted, probe, other, context.to_other_half(),
                                       emit);
        } else {
            substitution.backward(factor, substituted, probe, other, emit);
        }
    }

    // Solves M x = rhs for rhs = given(unknown) with as many steps of refinement as the problem
    // has; x is the iterate, whose values put(unknown, value) takes once they are final.
    template <class Given, class Put>
    __device__ void refined(Given given, Put put) const {
        const int refinement = context.plan.problem.refinement;
        double *iterate = this->iterate();
#pragma unroll 1
        for (int step = 0; step <= refinement; ++step) {
            context.sync();
            if (step == 0) {
                set(given);
            } else {
                set_residual(false, given);
            }
            forward();
            const double *other = step == 0 ? nullptr : iterate;
            backward(-1, other, [&](int t, int i, double value, double, double before) {
                const int64_t unknown = int64_t(t) * sizes.block + i;
                iterate[unknown] = before + value;
                if (step == refinement) {
                    put(unknown, before + value);
                }
            });
        }
    }

    // Calls work(system) for the system of the separators.
    template <class Work>
    __device__ void of_separators(Work work) const {
        const RecordLayout layout(context.sizes, context.plan.chunks);
        double *after = factor() + int64_t(sizes.blocks) * context.places.block_values(sizes.block);
        Separators<KIND> system(context.sizes, context.plan.chunks, layout, team, context.memory,
                                context.plan.layout.separators, after, workspace());
        work(system);
    }

    // Returns what the chunks of the system exchange, and the team's part of it.
    __device__ double *workspace() const {
        return context.plan.separators + context.index * context.plan.separator_values;
    }
    __device__ double *record() const {
        return workspace() +
               context.chunk * RecordLayout(context.sizes, context.plan.chunks).values;
    }

  private:
    __device__ static int64_t hidden(int64_t number) {
        asm volatile("" : "+l"(number));
        return number;
    }
    __device__ Substitution<KIND> substitution() const {
        return {sizes, context.places, team, context.hidden(0), context.plan.layout.band};
    }

    // Computes what comes after the blocks: the separators and the border.
    __device__ void complete_forward(const Substitution<KIND> &substitution) const {
        double *substituted = this->substituted();
        const int p = sizes.block, c = sizes.border, s = sizes.spikes;
        // A separator gets the rest of its right-hand side.
        const double *after = substituted + int64_t(sizes.end) * p;
        double *record = this->record();
        if (sizes.end < sizes.blocks) {
#pragma unroll 1
            for (int i = team.rank; i < s; i += team.size) {
                const int ahead = sizes.by_block.quotient(i);
                record[i] = after[i] - substitution.taken_off(sizes.end + ahead)[i - ahead * p];
            }
        } else {
            // The closing point and the slack come after the last block.
#pragma unroll 1
            for (int i = team.rank; i < c - s; i += team.size) {
                substitution.border[s + i] += after[i];
            }
        }
        if constexpr (KIND == CHUNK) {
            team.sync();
#pragma unroll 1
            for (int i = team.rank; i < c; i += team.size) {
                record[s + i] = substitution.border[i];
            }
            context.sync();
            if (context.leads()) {
                of_separators([](Separators<KIND> &system) { system.forward(); });
            }
        } else {
            substitution.forward_border(substituted);
        }
    }

    // Sets the slack's right-hand side, to which each thread adds its part of the defects. Then the
    // whole right-hand side is there for all threads.
    template <class Given>
    __device__ void set_slack(Given given, double defects) const {
        if (context.plan.problem.slack) {
            const double sum = context.sum(defects);
            if (team.rank == 0 && context.leads()) {
                const int64_t unknown = int64_t(sizes.points) * sizes.block;
                substituted()[unknown] = given(unknown) + sum;
            }
        }
        context.sync();
    }
};

#endif
