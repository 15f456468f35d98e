using System;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.IO;
using System.Net.WebSockets;
using System.Threading;
using System.Threading.Tasks;

namespace GestureStreamer
{
    public enum Link
    {
        Connecting,
        Open,
        Waiting,
        Refused,
        Ended,
    }

    /// <summary>Takes what a stream brings, on the thread that polls.</summary>
    public interface IStreamListener
    {
        void OnHello(Hello hello, double at);

        /// <summary>The frame is reused: copy what must stay.</summary>
        void OnFrame(Frame frame, double at);

        void OnEvent(StreamEvent streamEvent);
    }

    /// <summary>One WebSocket to an engine that comes back by itself; not for WebGL.</summary>
    /// <remarks>
    /// A task of its own receives, acknowledges and decodes; <see cref="Poll"/> hands over on the
    /// caller's thread. Events wait in a bounded queue: when nobody polls, the oldest go.
    /// </remarks>
    public sealed class Connection : IDisposable
    {
        private const int SilenceMs = 12000; // pings are answered: a socket this quiet is dead
        private const int PingMs = 4000;
        private const int MostWaiting = 1024;

        private readonly Uri url;
        private readonly string subprotocol;
        private readonly string token;
        private readonly CancellationTokenSource leaving = new CancellationTokenSource();
        private readonly SemaphoreSlim sending = new SemaphoreSlim(1);
        private readonly ConcurrentQueue<Note> notes = new ConcurrentQueue<Note>();
        private readonly byte[] ack = new byte[ClientMessages.AckBytes];
        private readonly Random random = new Random();
        private ClientWebSocket socket;
        private byte[] buffer = new byte[16384];
        private Inbox incoming;
        private FrameDecoder decoder;
        private Frame received;
        private Inbox polled;
        private Frame taken;
        private long heard;
        private int attempt;
        private long lastSeq;
        private int frames;
        private int missed;

        /// <param name="token">What the engine asks of those who come from other machines, or null.</param>
        public Connection(Uri url, string subprotocol, string token)
        {
            this.url = url;
            this.subprotocol = subprotocol;
            this.token = token;
        }

        private sealed class Note
        {
            public Hello Hello;
            public Inbox Inbox;
            public double At;
            public StreamEvent Event;
        }

        /// <summary>Seconds of the clock by which frames arrive and poses are asked for.</summary>
        public static double Now => Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency;

        public Link Link { get; private set; } = Link.Connecting;

        /// <summary>What went wrong last, in one line; empty if nothing.</summary>
        public string Problem { get; private set; } = "";

        /// <summary>Frames that came.</summary>
        public int Frames => frames;

        /// <summary>Frames that the engine replaced by newer ones because we were slow.</summary>
        public int Missed => missed;

        /// <summary>Frames that came and nobody polled in time.</summary>
        public int Dropped => polled == null ? 0 : polled.Dropped;

        /// <summary>Connect now, and again whenever the connection is lost.</summary>
        public void Start()
        {
            Task.Run(Stay);
            Task.Run(Watch);
        }

        /// <summary>Hand over everything that has come since the last poll; never waits.</summary>
        public void Poll(IStreamListener listener)
        {
            while (notes.TryDequeue(out var note))
            {
                if (note.Hello == null)
                {
                    listener.OnEvent(note.Event);
                    continue;
                }
                polled = note.Inbox;
                taken = new Frame(note.Hello.Layout);
                listener.OnHello(note.Hello, note.At);
            }
            if (polled == null) return;
            while (polled.TryTake(taken, out double at)) listener.OnFrame(taken, at);
        }

        /// <summary>Send a message of <see cref="ClientMessages"/>; false while the engine is away.</summary>
        public async Task<bool> Send(byte[] message, bool binary)
        {
            var open = socket;
            if (open == null || Link != Link.Open) return false;
            try
            {
                await Write(open, new ArraySegment<byte>(message), binary).ConfigureAwait(false);
                return true;
            }
            catch (Exception error) when (IsLoss(error))
            {
                return false;
            }
        }

        /// <summary>Leave.</summary>
        public void Dispose()
        {
            leaving.Cancel();
            socket?.Abort();
        }

        private async Task Stay()
        {
            while (!leaving.IsCancellationRequested)
            {
                Link = Link.Connecting;
                using (var fresh = new ClientWebSocket())
                {
                    try
                    {
                        await Visit(fresh).ConfigureAwait(false);
                    }
                    catch (ProtocolException error)
                    {
                        Problem = error.Message;
                    }
                    catch (Exception error) when (IsLoss(error))
                    {
                        Problem = error.Message;
                    }
                    socket = null;
                    if (Settled(fresh)) return;
                }
                Link = Link.Waiting;
                double delay = Math.Min(5000, 400 * Math.Pow(2, Math.Min(attempt++, 8)));
                await Task.Delay((int)(delay * (0.75 + 0.5 * random.NextDouble()))).ConfigureAwait(false);
            }
        }

        /// <summary>Whether trying again would be of no use.</summary>
        private bool Settled(ClientWebSocket closed)
        {
            int code = closed.CloseStatus.HasValue ? (int)closed.CloseStatus.Value : 0;
            if (code == 4400 || code == 4401 || code == 4413 || code == 4429)
            {
                Problem = closed.CloseStatusDescription;
                Link = Link.Refused;
                return true;
            }
            if (code == 1000) Link = Link.Ended;
            return code == 1000;
        }

        private async Task Visit(ClientWebSocket fresh)
        {
            fresh.Options.AddSubProtocol(subprotocol);
            Volatile.Write(ref heard, Stopwatch.GetTimestamp());
            socket = fresh;
            await fresh.ConnectAsync(url, leaving.Token).ConfigureAwait(false);
            if (!string.IsNullOrEmpty(token) || url.AbsolutePath == "/v1/session")
            {
                var hello = new ArraySegment<byte>(ClientMessages.Hello(token));
                await Write(fresh, hello, false).ConfigureAwait(false);
            }
            incoming = null;
            lastSeq = -1;
            while (true)
            {
                int count = 0;
                WebSocketReceiveResult part;
                do
                {
                    if (count == buffer.Length) Grow();
                    var room = new ArraySegment<byte>(buffer, count, buffer.Length - count);
                    part = await fresh.ReceiveAsync(room, leaving.Token).ConfigureAwait(false);
                    if (part.MessageType == WebSocketMessageType.Close) return;
                    count += part.Count;
                }
                while (!part.EndOfMessage);
                double at = Now;
                Volatile.Write(ref heard, Stopwatch.GetTimestamp());
                if (part.MessageType == WebSocketMessageType.Text) await Text(fresh, count, at).ConfigureAwait(false);
                else
                {
                    if (incoming == null) throw new ProtocolException("a frame came before the hello");
                    decoder.Binary(buffer, 0, count, received);
                    await Take(fresh, at).ConfigureAwait(false);
                }
            }
        }

        private Task Text(ClientWebSocket open, int count, double at)
        {
            switch (TextMessage.KindOf(buffer, 0, count))
            {
                case MessageKind.Hello:
                    Begin(GestureStreamer.Hello.Parse(buffer, 0, count), at);
                    break;
                case MessageKind.Frame:
                    if (incoming == null) throw new ProtocolException("a frame came before the hello");
                    decoder.Json(buffer, 0, count, received);
                    return Take(open, at);
                case MessageKind.Event:
                    Add(new Note { Event = TextMessage.Event(buffer, 0, count) });
                    break;
                case MessageKind.Error:
                    Problem = TextMessage.Error(buffer, 0, count);
                    break;
            }
            return Task.CompletedTask;
        }

        private void Begin(Hello hello, double at)
        {
            attempt = 0;
            Problem = "";
            decoder = new FrameDecoder(hello.Layout);
            received = new Frame(hello.Layout);
            incoming = new Inbox(hello.Layout);
            Link = Link.Open;
            Add(new Note { Hello = hello, Inbox = incoming, At = at });
        }

        private Task Take(ClientWebSocket open, double at)
        {
            if (lastSeq >= 0 && received.Seq > lastSeq + 1) missed += (int)(received.Seq - lastSeq - 1);
            lastSeq = received.Seq;
            frames++;
            incoming.Put(received, at);
            int length = ClientMessages.Ack(received.Seq, ack);
            return Write(open, new ArraySegment<byte>(ack, 0, length), false);
        }

        private void Add(Note note)
        {
            notes.Enqueue(note);
            while (notes.Count > MostWaiting && notes.TryDequeue(out var old))
            {
                if (old.Hello != null && old.Inbox == incoming) notes.Enqueue(old); // never lost
            }
        }

        private async Task Write(ClientWebSocket open, ArraySegment<byte> message, bool binary)
        {
            var kind = binary ? WebSocketMessageType.Binary : WebSocketMessageType.Text;
            await sending.WaitAsync(leaving.Token).ConfigureAwait(false);
            try
            {
                await open.SendAsync(message, kind, true, leaving.Token).ConfigureAwait(false);
            }
            finally
            {
                sending.Release();
            }
        }

        /// <summary>Cut a connection whose other end has vanished without a word.</summary>
        private async Task Watch()
        {
            int id = 0;
            while (!leaving.IsCancellationRequested)
            {
                await Task.Delay(PingMs).ConfigureAwait(false);
                double quiet = 1000.0 * (Stopwatch.GetTimestamp() - Volatile.Read(ref heard)) / Stopwatch.Frequency;
                if (quiet > SilenceMs) socket?.Abort();
                else await Send(ClientMessages.Ping(id++), false).ConfigureAwait(false);
            }
        }

        private void Grow()
        {
            if (buffer.Length >= Protocol.MaxMessageBytes) throw new ProtocolException("message is too large");
            Array.Resize(ref buffer, 2 * buffer.Length);
        }

        private static bool IsLoss(Exception error)
        {
            return error is WebSocketException || error is IOException || error is OperationCanceledException
                || error is InvalidOperationException || error is System.Net.Sockets.SocketException;
        }
    }
}
