// The pose to show now: the stream, a hold while it stalls, or nothing.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "clock.hpp"
#include "protocol.hpp"

namespace gesture {

struct Pose {
    std::vector<float> rotations;  // x, y, z, w of every bone, VRM 1.0 axes
    std::array<float, 3> root{};   // offset of the hips from rest, metres
};

// Write the pose a share t of the way from a to b, the short way round; `into` may be either.
inline void interpolate(const std::vector<float>& a, const std::array<float, 3>& a_root, const std::vector<float>& b,
                        const std::array<float, 3>& b_root, double t, Pose& into) {
    for (std::size_t i = 0; i < into.rotations.size(); i += 4) {
        double cosine = 0;
        for (std::size_t k = i; k < i + 4; ++k) cosine += static_cast<double>(a[k]) * b[k];
        const double angle = std::acos(std::min(std::fabs(cosine), 1.0));
        const double sine = std::sin(angle);
        const bool near = sine < 1e-3;
        const double from_a = near ? 1 - t : std::sin((1 - t) * angle) / sine;
        const double from_b = (cosine < 0 ? -1 : 1) * (near ? t : std::sin(t * angle) / sine);
        double q[4], norm = 0;
        for (std::size_t k = 0; k < 4; ++k) {
            q[k] = from_a * a[i + k] + from_b * b[i + k];
            norm += q[k] * q[k];
        }
        norm = std::sqrt(norm);
        for (std::size_t k = 0; k < 4; ++k) into.rotations[i + k] = static_cast<float>(q[k] / norm);
    }
    for (std::size_t k = 0; k < 3; ++k) {
        into.root[k] = static_cast<float>(a_root[k] + t * (static_cast<double>(b_root[k]) - a_root[k]));
    }
}

// The last frames, oldest first, and the pose between two of them; nothing is allocated.
class Timeline {
public:
    explicit Timeline(const Layout& layout) : frames_(kKept, Frame(layout)) {}

    const Frame* newest() const { return count_ == 0 ? nullptr : &at(count_ - 1); }

    void clear() { count_ = 0; }

    // Take a copy of a frame; one that is not newer than the last is ignored.
    void push(const Frame& frame) {
        if (count_ > 0 && frame.sample <= newest()->sample) return;
        if (count_ == kKept) first_ = (first_ + 1) % kKept;
        else ++count_;
        frames_[(first_ + count_ - 1) % kKept] = frame;  // same sizes: no allocation
    }

    // Write the pose at a sample, held at both ends; there must be a frame.
    void sample(double sample, Pose& into) const {
        std::size_t i = count_ - 1;
        while (i > 0 && static_cast<double>(at(i).sample) > sample) --i;
        const Frame& a = at(i);
        const auto start = static_cast<double>(a.sample);
        if (i == count_ - 1 || sample <= start) {
            std::copy(a.rotations.begin(), a.rotations.end(), into.rotations.begin());
            into.root = a.root;
            return;
        }
        const Frame& b = at(i + 1);
        const double t = (sample - start) / (static_cast<double>(b.sample) - start);
        interpolate(a.rotations, a.root, b.rotations, b.root, t, into);
    }

private:
    static constexpr std::size_t kKept = 32;

    const Frame& at(std::size_t i) const { return frames_[(first_ + i) % kKept]; }

    std::vector<Frame> frames_;
    std::size_t first_ = 0;
    std::size_t count_ = 0;
};

enum class Mode : std::uint8_t { Rest, Live, Held };

// Turns frames into poses at the display's rate; seconds of the local clock. One thread's.
//
// One frame behind the newest, so that there are two to interpolate between, and by
// `clock().jitter()` more where the network is uneven.
class Playback {
public:
    // before: what an earlier connection showed; it is blended out.
    Playback(const Hello& hello, double at, const Playback* before = nullptr)
        : fps_(hello.fps), timeline_(hello.layout()) {
        pose_.rotations = Frame(hello.layout()).rotations;
        if (before != nullptr && before->pose_.rotations.size() == pose_.rotations.size()) {
            pose_ = before->pose_;
            mode_ = before->mode_;
            weight_ = before->weight_;
            last_ = before->last_;
        }
        from_ = pose_;
        blend_start_ = at;
    }

    const StreamClock& clock() const { return clock_; }
    const Pose& pose() const { return pose_; }
    Mode mode() const { return mode_; }
    VoiceState voice() const { return voice_; }
    double sample() const { return sample_; }

    // 1 while the stream lives, easing to 0 when it is away.
    double weight() const { return smooth(weight_); }

    // Take a frame that arrived at a local time; it is copied.
    void push(const Frame& frame, double at) {
        if (const Frame* newest = timeline_.newest()) {
            const auto step = static_cast<double>(frame.sample - newest->sample);
            if (frame.reset || step < 0 || step > kGapS * kSampleRate) {
                timeline_.clear();
                blend(at);
            }
        }
        clock_.arrive(static_cast<double>(frame.sample) / kSampleRate, at, frame.reset);
        timeline_.push(frame);
    }

    // Compute the pose for a local time.
    void update(double at) {
        const Frame* newest = timeline_.newest();
        const double time = newest != nullptr ? clock_.time(at, 1 / fps_) : 0;
        const Mode mode = follow(time, newest);
        if (mode == Mode::Live && mode_ != mode) blend(at);
        mode_ = mode;
        const double step = std::isnan(last_) ? 0 : std::max(0.0, at - last_);
        last_ = at;
        weight_ = mode == Mode::Rest ? std::max(0.0, weight_ - step / kEaseOutS)
                                     : std::min(1.0, weight_ + step / kEaseInS);
        voice_ = newest != nullptr && mode != Mode::Rest ? newest->state : VoiceState::Idle;
        sample_ = time * kSampleRate;
        if (newest == nullptr) return;
        timeline_.sample(sample_, pose_);
        const double share = smooth((at - blend_start_) / kCatchUpS);
        if (share < 1) interpolate(from_.rotations, from_.root, pose_.rotations, pose_.root, share, pose_);
    }

private:
    static constexpr double kHoldS = 1.2;  // a stream that stalls for longer gives the avatar back
    static constexpr double kEaseInS = 0.6;
    static constexpr double kEaseOutS = 1.4;
    static constexpr double kCatchUpS = 0.3;  // after a hold or a reset
    static constexpr double kStallFrames = 1.5;
    static constexpr double kGapS = 1;  // blended over, not interpolated through

    Mode follow(double time, const Frame* newest) const {
        if (newest == nullptr) return Mode::Rest;
        const double starved = time - static_cast<double>(newest->sample) / kSampleRate;
        if (starved > kHoldS) return Mode::Rest;
        if (starved > kStallFrames / fps_) return Mode::Held;
        // Leaving rest or a hold: only once fresh frames are there.
        return mode_ != Mode::Live && starved > 0 ? mode_ : Mode::Live;
    }

    void blend(double at) {
        from_.rotations = pose_.rotations;
        from_.root = pose_.root;
        blend_start_ = at;
    }

    static double smooth(double share) {
        const double t = std::min(std::max(share, 0.0), 1.0);
        return t * t * (3 - 2 * t);
    }

    double fps_;
    Timeline timeline_;
    StreamClock clock_;
    Pose pose_;
    Pose from_;
    double blend_start_ = -std::numeric_limits<double>::infinity();
    double last_ = std::numeric_limits<double>::quiet_NaN();
    double weight_ = 0;
    double sample_ = 0;
    Mode mode_ = Mode::Rest;
    VoiceState voice_ = VoiceState::Idle;
};

}  // namespace gesture
