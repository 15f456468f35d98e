// Runs the Unity core without Unity, for tests/e2e/test_client*.py.
//
//   probe golden STREAM.jsonl|STREAM.golden    decode a golden stream, print what it holds
//   probe sim SCRIPT                           play frames at made-up times, print the poses
//   probe map FILE                             a hello, rests and a pose; print local rotations
//   probe say                                  every message of a client, the audio in hexadecimal
//   probe garbage STREAM.golden ROUNDS         bytes that decoding, playing and mapping allocate
//   probe live URL SUBPROTOCOL SECONDS         watch an engine and draw at 60 Hz until a caption says "stop"
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Text;
using System.Threading;
using GestureStreamer;

public static class Probe
{
    private static readonly TextWriter Out = new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(false));

    public static int Main(string[] args)
    {
        CultureInfo.CurrentCulture = CultureInfo.GetCultureInfo("en-US");
        try
        {
            switch (args[0])
            {
                case "golden": Golden(args[1]); break;
                case "sim": Simulate(args[1]); break;
                case "map": Map(args[1]); break;
                case "say": Say(); break;
                case "garbage": Garbage(args[1], int.Parse(args[2])); break;
                case "live": Live.Run(args[1], args[2], double.Parse(args[3]), Out); break;
                default: throw new ArgumentException(args[0]);
            }
            return 0;
        }
        catch (ProtocolException error)
        {
            Out.WriteLine("refused " + error.Message);
            return 3;
        }
        finally
        {
            Out.Flush();
        }
    }

    public static string Text(Frame f)
    {
        var text = new StringBuilder("frame ");
        text.Append(f.Seq).Append(' ').Append(f.Index).Append(' ').Append(f.Sample).Append(' ');
        text.Append(f.State.ToString().ToLowerInvariant()).Append(' ').Append(f.Reset ? 1 : 0);
        Numbers(text.Append(" root"), f.Root);
        Numbers(text.Append(" rotations"), f.Rotations);
        if (f.HasPositions) Numbers(text.Append(" positions"), f.Positions);
        if (f.HasDirections) Numbers(text.Append(" directions"), f.Directions);
        return text.ToString();
    }

    public static string Text(StreamEvent e)
    {
        return "event " + e.Kind + " " + e.Sample + " " + e.Json;
    }

    public static string Text(Hello h)
    {
        var text = new StringBuilder("hello ");
        text.Append(h.Session).Append(' ').Append(h.Fps).Append(' ').Append(string.Join(",", h.Bones)).Append(' ');
        text.Append(string.Join(",", h.Parents)).Append(' ').Append(string.Join(",", h.Joints)).Append(' ');
        text.Append(string.Join(",", h.Directions)).Append(' ').Append(h.Latency.Visible);
        Numbers(text.Append(" rest"), h.Rest);
        return text.ToString();
    }

    public static void Numbers(StringBuilder text, float[] values)
    {
        foreach (float value in values) text.Append(' ').Append(value.ToString("R"));
    }

    private static IEnumerable<byte[]> Messages(string path, List<bool> binary)
    {
        byte[] all = File.ReadAllBytes(path);
        for (int at = 0; at < all.Length;)
        {
            int start = at, length;
            bool isBinary = false;
            if (path.EndsWith(".golden"))
            {
                isBinary = all[at] == 2;
                length = BitConverter.ToInt32(all, at + 1);
                start = at + 5;
                at = start + length;
            }
            else
            {
                length = Array.IndexOf(all, (byte)'\n', at) - at;
                at += length + 1;
            }
            var message = new byte[length];
            Array.Copy(all, start, message, 0, length);
            binary.Add(isBinary);
            yield return message;
        }
    }

    private static void Golden(string path)
    {
        var binary = new List<bool>();
        FrameDecoder decoder = null;
        Frame frame = null;
        foreach (var m in Messages(path, binary))
        {
            if (binary[binary.Count - 1])
            {
                decoder.Binary(m, 0, m.Length, frame);
                Out.WriteLine(Text(frame));
                continue;
            }
            switch (TextMessage.KindOf(m, 0, m.Length))
            {
                case MessageKind.Hello:
                    var hello = Hello.Parse(m, 0, m.Length);
                    decoder = new FrameDecoder(hello.Layout);
                    frame = new Frame(hello.Layout);
                    Out.WriteLine(Text(hello));
                    break;
                case MessageKind.Frame:
                    decoder.Json(m, 0, m.Length, frame);
                    Out.WriteLine(Text(frame));
                    break;
                case MessageKind.Event:
                    var e = TextMessage.Event(m, 0, m.Length);
                    Out.WriteLine(Text(e));
                    if (e.Kind == "word") Out.WriteLine("word " + e.Start + " " + e.End + " " + e.Final + " " + e.Text);
                    if (e.Kind == "latency") Out.WriteLine("latency " + e.Latency.Visible);
                    if (e.Kind == "warning") Out.WriteLine("warning " + e.Code + " " + e.Message);
                    break;
                case MessageKind.Error:
                    Out.WriteLine("error " + TextMessage.Error(m, 0, m.Length));
                    break;
                case MessageKind.Other:
                    Out.WriteLine("other");
                    break;
            }
        }
    }

    private static float[] Floats(string[] words, int from, int count)
    {
        var values = new float[count];
        for (int i = 0; i < count; i++) values[i] = float.Parse(words[from + i]);
        return values;
    }

    // hello FPS BONES | frame AT SAMPLE RESET root(3) rotations(4 B) | update AT
    private static void Simulate(string path)
    {
        Playback playback = null;
        Frame frame = null;
        int bones = 0;
        foreach (string line in File.ReadLines(path))
        {
            string[] w = line.Split(' ');
            double at = double.Parse(w[1]);
            switch (w[0])
            {
                case "hello":
                    bones = int.Parse(w[3]);
                    var hello = new Hello { Fps = double.Parse(w[2]), Bones = new string[bones] };
                    frame = new Frame(hello.Layout);
                    playback = new Playback(hello, at, playback);
                    break;
                case "frame":
                    frame.Sample = long.Parse(w[2]);
                    frame.Reset = w[3] == "1";
                    Array.Copy(Floats(w, 4, 3), frame.Root, 3);
                    Array.Copy(Floats(w, 7, 4 * bones), frame.Rotations, 4 * bones);
                    playback.Push(frame, at);
                    break;
                case "update":
                    playback.Update(at);
                    var text = new StringBuilder();
                    text.Append(playback.Sample.ToString("R")).Append(' ').Append(playback.Weight.ToString("R"));
                    text.Append(' ').Append(playback.Mode.ToString().ToLowerInvariant());
                    text.Append(' ').Append(playback.Clock.Jitter.ToString("R"));
                    Numbers(text, playback.Root);
                    Numbers(text, playback.Rotations);
                    Out.WriteLine(text);
                    break;
            }
        }
    }

    // parents P... | bone I localRest(4) worldRest(4) | pose rotations(4 B)
    private static void Map(string path)
    {
        PoseMapper mapper = null;
        int bones = 0;
        foreach (string line in File.ReadLines(path))
        {
            string[] w = line.Split(' ');
            switch (w[0])
            {
                case "parents":
                    bones = w.Length - 1;
                    var hello = new Hello { Bones = new string[bones], Parents = new int[bones] };
                    for (int i = 0; i < bones; i++) hello.Parents[i] = int.Parse(w[1 + i]);
                    mapper = new PoseMapper(hello);
                    break;
                case "bone":
                    float[] q = Floats(w, 2, 8);
                    mapper.SetBone(int.Parse(w[1]), new Quat(q[0], q[1], q[2], q[3]), new Quat(q[4], q[5], q[6], q[7]));
                    break;
                case "pose":
                    mapper.Compute(Floats(w, 1, 4 * bones));
                    for (int i = 0; i < bones; i++)
                    {
                        if (!mapper.Has(i)) continue;
                        var l = mapper.Local(i);
                        var text = new StringBuilder(i.ToString());
                        Numbers(text, new[] { l.X, l.Y, l.Z, l.W });
                        Out.WriteLine(text);
                    }
                    break;
            }
        }
    }

    private static void Say()
    {
        var ack = new byte[ClientMessages.AckBytes];
        foreach (uint seq in new uint[] { 0, uint.MaxValue }) Out.WriteLine(Encoding.UTF8.GetString(ack, 0, ClientMessages.Ack(seq, ack)));
        foreach (var message in new[]
        {
            ClientMessages.Hello(null), ClientMessages.Hello("a \"token\" \\ of\nsixteen"), ClientMessages.Interrupt(),
            ClientMessages.End(), ClientMessages.Ping(7), ClientMessages.Word("naïve", 16000, 20800, true),
        })
        {
            Out.WriteLine(Encoding.UTF8.GetString(message));
        }
        float[] samples = { 9, 0, 0.5f, -1, 1, 2, -2, 0.1f };
        var bytes = new byte[16 + 2 * 7];
        int length = ClientMessages.Audio(samples, 1, 7, (1L << 33) + 5, bytes);
        Out.WriteLine(BitConverter.ToString(bytes, 0, length).Replace("-", ""));
    }

    // What a game does for every frame of the stream and every frame of its own.
    private static void Garbage(string path, int rounds)
    {
        var binary = new List<bool>();
        var all = new List<byte[]>(Messages(path, binary));
        var json = Encoding.UTF8.GetBytes("");
        foreach (var line in File.ReadLines(path.Replace(".bin.golden", ".json.jsonl")))
        {
            if (line.StartsWith("{\"type\":\"frame\"")) { json = Encoding.UTF8.GetBytes(line); break; }
        }
        var hello = Hello.Parse(all[0], 0, all[0].Length);
        byte[] bytes = all[1];
        var decoder = new FrameDecoder(hello.Layout);
        var frame = new Frame(hello.Layout);
        var inbox = new Inbox(hello.Layout);
        var taken = new Frame(hello.Layout);
        var playback = new Playback(hello, 0);
        var mapper = new PoseMapper(hello);
        for (int i = 0; i < hello.Bones.Length; i++) mapper.SetBone(i, Quat.Identity, Quat.Identity);
        var ack = new byte[ClientMessages.AckBytes];
        long before = 0;
        int collections = 0;
        var watch = new Stopwatch();
        for (int round = -100; round < rounds; round++) // the first ones compile
        {
            if (round == 0)
            {
                GC.Collect();
                collections = GC.CollectionCount(0);
                before = Allocated();
                watch.Start();
            }
            double at = round / 15.0;
            decoder.Json(json, 0, json.Length, frame);
            decoder.Binary(bytes, 0, bytes.Length, frame);
            frame.Sample = (100 + round) * 1067;
            ClientMessages.Ack(frame.Seq, ack);
            inbox.Put(frame, at);
            while (inbox.TryTake(taken, out double arrived)) playback.Push(taken, arrived);
            for (int k = 0; k < 4; k++)
            {
                playback.Update(at + k / 60.0);
                mapper.Compute(playback.Rotations);
            }
        }
        watch.Stop();
        long bytesMade = Allocated() - before;
        long control = Allocated(); // the measure itself must be able to see
        for (int i = 0; i < 1000; i++) GC.KeepAlive(new byte[1000]);
        control = Allocated() - control;
        Out.WriteLine(control + " " + bytesMade + " " + (GC.CollectionCount(0) - collections) + " " + rounds + " "
            + (1e6 * watch.Elapsed.TotalSeconds / rounds).ToString("R"));
    }

    public static long Allocated() => GC.GetAllocatedBytesForCurrentThread();
}

/// <summary>A game without pictures: polls and updates 60 times a second, keeps what came.</summary>
public sealed class Live : IStreamListener
{
    private const int Most = 2048;
    private readonly List<string> lines = new List<string>();
    private readonly List<Frame> kept = new List<Frame>(Most);
    private readonly List<int> keptAfter = new List<int>(Most);
    private readonly List<Frame> spare = new List<Frame>(Most);
    private readonly List<double> arrivals = new List<double>(Most);
    private Playback playback;
    private bool quiet;
    private bool stop;

    public static void Run(string url, string subprotocol, double seconds, TextWriter output)
    {
        new Live().Watch(url, subprotocol, seconds, output);
    }

    public void OnHello(Hello hello, double at)
    {
        quiet = false;
        lines.Add(Probe.Text(hello));
        playback = new Playback(hello, at, playback);
        if (spare.Count == 0)
        {
            for (int i = 0; i < Most; i++) spare.Add(new Frame(hello.Layout));
        }
    }

    public void OnFrame(Frame frame, double at)
    {
        playback.Push(frame, at);
        var copy = spare[kept.Count];
        copy.CopyFrom(frame);
        kept.Add(copy);
        keptAfter.Add(lines.Count);
        arrivals.Add(at);
    }

    public void OnEvent(StreamEvent e)
    {
        quiet = false;
        stop |= e.Text == "stop";
        lines.Add(Probe.Text(e));
    }

    private void Watch(string url, string subprotocol, double seconds, TextWriter output)
    {
        using (var connection = new Connection(new Uri(url), subprotocol, null))
        {
            connection.Start();
            double start = Connection.Now;
            int updates = 0, quietUpdates = 0, held = 0, backwards = 0;
            long garbage = 0, startedWith = 0, all = 0;
            double shown = double.NegativeInfinity;
            Playback of = null;
            var before = PlaybackMode.Rest;
            for (double at = start; at - start < seconds && !stop && connection.Link != Link.Ended; at = Connection.Now)
            {
                quiet = true;
                long allocated = Probe.Allocated();
                connection.Poll(this);
                if (playback != null) playback.Update(Connection.Now);
                allocated = Probe.Allocated() - allocated;
                updates++;
                if (quiet && updates > 60)
                {
                    garbage += allocated;
                    quietUpdates++;
                }
                if (updates == 60) startedWith = GC.GetTotalMemory(true);
                if (playback != null)
                {
                    if (of == playback && before == PlaybackMode.Live && playback.Sample < shown) backwards++;
                    if (playback.Mode == PlaybackMode.Held) held++;
                    of = playback;
                    before = playback.Mode;
                    shown = playback.Sample;
                }
                Thread.Sleep(Math.Max(0, (int)(1000 * (start + updates / 60.0 - Connection.Now))));
            }
            all = GC.GetTotalMemory(false) - startedWith; // of all threads, if nothing was collected
            double worst = 0;
            for (int i = 1; i < arrivals.Count; i++) worst = Math.Max(worst, arrivals[i] - arrivals[i - 1]);
            int next = 0;
            for (int i = 0; i <= lines.Count; i++)
            {
                for (; next < kept.Count && keptAfter[next] == i; next++) output.WriteLine(Probe.Text(kept[next]));
                if (i < lines.Count) output.WriteLine(lines[i]);
            }
            output.WriteLine(
                "summary {{\"link\":\"{0}\",\"problem\":\"{1}\",\"frames\":{2},\"missed\":{3},\"dropped\":{4},\"updates\":{5},"
                + "\"quiet_updates\":{6},\"held_updates\":{7},\"backwards\":{8},\"garbage_bytes\":{9},"
                + "\"worst_gap_ms\":{10},\"jitter_ms\":{11},\"process_bytes\":{12}}}",
                connection.Link, connection.Problem.Replace('"', '\''), connection.Frames, connection.Missed,
                connection.Dropped, updates, quietUpdates, held, backwards, garbage, 1000 * worst,
                playback == null ? 0 : 1000 * playback.Clock.Jitter, all);
        }
    }
}
