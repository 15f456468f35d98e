using System;

namespace GestureStreamer
{
    /// <summary>What the pose is: of the stream, its last one while it stalls, or of no account.</summary>
    public enum PlaybackMode
    {
        Rest,
        Live,
        Held,
    }

    /// <summary>Turns frames into poses at the display's rate; seconds of the local clock.</summary>
    /// <remarks>
    /// One frame behind the newest, so that there are two to interpolate between, and by
    /// <see cref="StreamClock.Jitter"/> more where the network is uneven. One thread's.
    /// </remarks>
    public sealed class Playback
    {
        private const double HoldS = 1.2; // a stream that stalls for longer gives the avatar back
        private const double EaseInS = 0.6;
        private const double EaseOutS = 1.4;
        private const double CatchUpS = 0.3; // after a hold or a reset
        private const double StallFrames = 1.5;
        private const double GapS = 1; // blended over, not interpolated through

        private readonly Hello hello;
        private readonly Timeline timeline;
        private readonly float[] fromRotations;
        private readonly float[] fromRoot = new float[3];
        private double blendStart = double.NegativeInfinity;
        private double last = double.NaN;
        private double weight;

        /// <param name="before">What an earlier connection showed: it is blended out.</param>
        public Playback(Hello hello, double at, Playback before = null)
        {
            this.hello = hello;
            timeline = new Timeline(hello.Layout);
            Rotations = new Frame(hello.Layout).Rotations;
            fromRotations = new float[Rotations.Length];
            if (before != null && before.Rotations.Length == Rotations.Length)
            {
                Array.Copy(before.Rotations, Rotations, Rotations.Length);
                Array.Copy(before.Root, Root, 3);
                Mode = before.Mode;
                weight = before.weight;
                last = before.last;
            }
            Blend(at);
        }

        public StreamClock Clock { get; } = new StreamClock();

        public PlaybackMode Mode { get; private set; } = PlaybackMode.Rest;

        /// <summary>x, y, z, w of every bone, VRM 1.0 axes; valid after <see cref="Update"/>.</summary>
        public float[] Rotations { get; }

        /// <summary>Offset of the hips from rest, metres.</summary>
        public float[] Root { get; } = new float[3];

        /// <summary>1 while the stream lives, easing to 0 when it is away.</summary>
        public float Weight { get; private set; }

        /// <summary>What the voice does.</summary>
        public VoiceState Voice { get; private set; }

        /// <summary>Stream sample that is shown.</summary>
        public double Sample { get; private set; }

        /// <summary>Take a frame that arrived at a local time; it is copied.</summary>
        public void Push(Frame frame, double at)
        {
            var newest = timeline.Newest;
            if (newest != null)
            {
                long step = frame.Sample - newest.Sample;
                if (frame.Reset || step < 0 || step > GapS * Protocol.SampleRate)
                {
                    timeline.Clear();
                    Blend(at);
                }
            }
            Clock.Arrive(frame.Sample / (double)Protocol.SampleRate, at, frame.Reset);
            timeline.Push(frame);
        }

        /// <summary>Compute the pose for a local time.</summary>
        public void Update(double at)
        {
            var newest = timeline.Newest;
            double time = newest != null ? Clock.Time(at, 1 / hello.Fps) : 0;
            var mode = Follow(time, newest);
            if (mode == PlaybackMode.Live && Mode != mode) Blend(at);
            Mode = mode;
            double step = double.IsNaN(last) ? 0 : Math.Max(0, at - last);
            last = at;
            weight = mode == PlaybackMode.Rest
                ? Math.Max(0, weight - step / EaseOutS)
                : Math.Min(1, weight + step / EaseInS);
            Weight = (float)Smooth(weight);
            Voice = newest != null && mode != PlaybackMode.Rest ? newest.State : VoiceState.Idle;
            Sample = time * Protocol.SampleRate;
            if (newest == null) return;
            timeline.Sample(Sample, Rotations, Root);
            double share = Smooth((at - blendStart) / CatchUpS);
            if (share >= 1) return;
            Quat.Slerp(fromRotations, Rotations, share, Rotations);
            for (int k = 0; k < 3; k++) Root[k] = (float)(fromRoot[k] + share * (Root[k] - fromRoot[k]));
        }

        private PlaybackMode Follow(double time, Frame newest)
        {
            if (newest == null) return PlaybackMode.Rest;
            double starved = time - newest.Sample / (double)Protocol.SampleRate;
            if (starved > HoldS) return PlaybackMode.Rest;
            if (starved > StallFrames / hello.Fps) return PlaybackMode.Held;
            // Leaving rest or a hold: only once fresh frames are there.
            return Mode != PlaybackMode.Live && starved > 0 ? Mode : PlaybackMode.Live;
        }

        private void Blend(double at)
        {
            Array.Copy(Rotations, fromRotations, Rotations.Length);
            Array.Copy(Root, fromRoot, 3);
            blendStart = at;
        }

        private static double Smooth(double share)
        {
            double t = Math.Min(Math.Max(share, 0), 1);
            return t * t * (3 - 2 * t);
        }
    }
}
