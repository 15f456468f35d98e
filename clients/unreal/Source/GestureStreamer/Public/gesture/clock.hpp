// Where a stream is now, judged from when its frames arrive.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>

namespace gesture {

// Estimates the stream time of the newest frame that could be here by now.
//
// A frame is never early, only late: the least delay of a window is the true offset between the
// clocks, whatever bursts and stalls lie between. Drift is followed so slowly that nobody sees it;
// a real jump of the stream is taken at once. All times are seconds; nothing is allocated.
class StreamClock {
public:
    bool synced() const { return count_ > 0; }

    // What playback waits beyond the earliest frames: nine of ten come in time.
    double jitter() const { return margin_; }

    void reset() {
        first_ = count_ = 0;
        jumped_ = 0;
        offset_ = target_ = margin_ = wanted_ = 0;
        last_ = std::numeric_limits<double>::quiet_NaN();
    }

    // Note a frame of a stream time that arrived at a local time.
    // fresh: it may follow a gap; then even one late frame is a jump.
    void arrive(double stream, double at, bool fresh) {
        const double delay = at - stream;
        if (count_ > 0) {
            jumped_ = delay - target_ > kJumpS ? jumped_ + 1 : 0;
            if (jumped_ >= (fresh ? 1 : kJumpFrames) || target_ - delay > kJumpS) reset();
        }
        if (count_ == 0) offset_ = delay;
        if (count_ == kMost) forget();
        const std::size_t slot = (first_ + count_++) % kMost;
        arrived_[slot] = at;
        delay_[slot] = delay;
        while (at - arrived_[first_] > kWindowS) forget();
        for (std::size_t i = 0; i < count_; ++i) sorted_[i] = delay_[(first_ + i) % kMost];
        target_ = *std::min_element(sorted_.begin(), sorted_.begin() + static_cast<std::ptrdiff_t>(count_));
        const auto ninth = sorted_.begin() + static_cast<std::ptrdiff_t>(0.9 * static_cast<double>(count_ - 1));
        std::nth_element(sorted_.begin(), ninth, sorted_.begin() + static_cast<std::ptrdiff_t>(count_));
        wanted_ = std::min(*ninth - target_, kMaxMarginS);
        if (std::fabs(target_ - offset_) > kJumpS) offset_ = target_;  // after a pause longer than the window
    }

    // Stream time to show at a local time, `behind` seconds after the newest frame.
    double time(double at, double behind) {
        const double step =
            std::isnan(last_) ? std::numeric_limits<double>::infinity() : std::max(0.0, at - last_) * kSlew;
        last_ = at;
        offset_ = approach(offset_, target_, step);
        margin_ = approach(margin_, wanted_, step);
        return at - offset_ - margin_ - behind;
    }

private:
    static constexpr double kWindowS = 8;
    static constexpr double kJumpS = 0.25;
    static constexpr int kJumpFrames = 8;
    static constexpr double kSlew = 0.03;  // of the speed of time
    static constexpr double kMaxMarginS = 0.045;
    static constexpr std::size_t kMost = 1024;  // 8 s at 120 frames a second

    void forget() {
        first_ = (first_ + 1) % kMost;
        --count_;
    }

    static double approach(double value, double goal, double step) {
        return value < goal ? std::min(value + step, goal) : std::max(value - step, goal);
    }

    std::array<double, kMost> arrived_{};
    std::array<double, kMost> delay_{};
    std::array<double, kMost> sorted_{};
    std::size_t first_ = 0;
    std::size_t count_ = 0;
    int jumped_ = 0;
    double offset_ = 0;
    double target_ = 0;
    double margin_ = 0;
    double wanted_ = 0;
    double last_ = std::numeric_limits<double>::quiet_NaN();
};

}  // namespace gesture
