using System;

namespace GestureStreamer
{
    /// <summary>Decodes frames of both forms into frames that are reused; no garbage.</summary>
    public sealed class FrameDecoder
    {
        private const int HeaderBytes = 36;
        private const uint Magic = 0x46545347; // "GSTF"
        private const int Reset = 1;
        private const int HasPositions = 2;
        private const int HasDirections = 4;
        private static readonly string[] States = { "idle", "listening", "speaking" };

        private readonly Layout layout;

        public FrameDecoder(Layout layout)
        {
            if (!BitConverter.IsLittleEndian) throw new NotSupportedException("needs a little-endian machine");
            this.layout = layout;
        }

        /// <summary>Read a binary frame; throws <see cref="ProtocolException"/> where it does not fit.</summary>
        public void Binary(byte[] data, int start, int count, Frame into)
        {
            if (count < HeaderBytes) throw new ProtocolException("frame of " + count + " bytes, its header has 36");
            if (UInt32(data, start) != Magic || data[start + 4] != 1)
            {
                throw new ProtocolException("binary message is no GSTF 1 frame");
            }
            int flags = data[start + 5];
            int state = data[start + 6];
            if (state > (int)VoiceState.Speaking) throw new ProtocolException("frame has voice state " + state);
            into.HasPositions = (flags & HasPositions) != 0;
            into.HasDirections = (flags & HasDirections) != 0;
            int rotations = 16 * layout.Bones;
            int positions = into.HasPositions ? 12 * layout.Joints : 0;
            int directions = into.HasDirections ? 12 * layout.Directions : 0;
            int want = HeaderBytes + rotations + positions + directions;
            if (count != want)
            {
                throw new ProtocolException("frame of " + count + " bytes, its flags and the hello say " + want);
            }
            ulong sample = UInt32(data, start + 16) | ((ulong)UInt32(data, start + 20) << 32);
            if (sample > 1UL << 53) throw new ProtocolException("frame has sample " + sample);
            into.Reset = (flags & Reset) != 0;
            into.State = (VoiceState)state;
            into.Seq = UInt32(data, start + 8);
            into.Index = UInt32(data, start + 12);
            into.Sample = (long)sample;
            Buffer.BlockCopy(data, start + 24, into.Root, 0, 12);
            int at = start + HeaderBytes;
            Buffer.BlockCopy(data, at, into.Rotations, 0, rotations);
            Buffer.BlockCopy(data, at + rotations, into.Positions, 0, positions);
            Buffer.BlockCopy(data, at + rotations + positions, into.Directions, 0, directions);
            Check(into);
        }

        /// <summary>Read a JSON frame; throws <see cref="ProtocolException"/> where it does not fit.</summary>
        public void Json(byte[] data, int start, int count, Frame into)
        {
            var json = new JsonReader(data, start, count);
            const int seq = 1, index = 2, sample = 4, state = 8, reset = 16, root = 32, rotations = 64;
            int found = 0;
            into.HasPositions = into.HasDirections = false;
            json.BeginObject();
            while (json.NextKey())
            {
                if (json.KeyIs("seq")) { into.Seq = (uint)json.Count(uint.MaxValue); found |= seq; }
                else if (json.KeyIs("index")) { into.Index = (uint)json.Count(uint.MaxValue); found |= index; }
                else if (json.KeyIs("sample")) { into.Sample = json.Count(1L << 53); found |= sample; }
                else if (json.KeyIs("reset")) { into.Reset = json.Boolean(); found |= reset; }
                else if (json.KeyIs("state"))
                {
                    int which = json.OneOf(States);
                    if (which < 0) throw new ProtocolException("frame has an unknown voice state");
                    into.State = (VoiceState)which;
                    found |= state;
                }
                else if (json.KeyIs("root")) { json.Floats(into.Root); found |= root; }
                else if (json.KeyIs("rotations")) { json.Floats(into.Rotations); found |= rotations; }
                else if (json.KeyIs("positions")) { json.Floats(into.Positions); into.HasPositions = true; }
                else if (json.KeyIs("directions")) { json.Floats(into.Directions); into.HasDirections = true; }
                else json.Skip();
            }
            json.End();
            if (found != 127) throw new ProtocolException("frame lacks a field");
        }

        private static void Check(Frame frame)
        {
            CheckFinite(frame, frame.Root);
            CheckFinite(frame, frame.Rotations);
            if (frame.HasPositions) CheckFinite(frame, frame.Positions);
            if (frame.HasDirections) CheckFinite(frame, frame.Directions);
        }

        private static void CheckFinite(Frame frame, float[] values)
        {
            for (int i = 0; i < values.Length; i++)
            {
                if (float.IsNaN(values[i]) || float.IsInfinity(values[i]))
                {
                    throw new ProtocolException("frame " + frame.Index + " is not finite");
                }
            }
        }

        private static uint UInt32(byte[] data, int at)
        {
            return (uint)(data[at] | data[at + 1] << 8 | data[at + 2] << 16 | data[at + 3] << 24);
        }
    }
}
