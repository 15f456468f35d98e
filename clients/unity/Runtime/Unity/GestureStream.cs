using System;
using UnityEngine;

namespace GestureStreamer
{
    /// <summary>Connects to a running engine and holds the pose to show now.</summary>
    /// <remarks>Several avatars may follow one stream: give each a <see cref="GestureHumanoid"/>.</remarks>
    [AddComponentMenu("Gesture Streamer/Gesture Stream")]
    [DefaultExecutionOrder(-100)]
    public sealed class GestureStream : MonoBehaviour, IStreamListener
    {
        [Tooltip("What `gesture live` prints, with ws:// and /v1/watch.")]
        public string url = "ws://127.0.0.1:8765/v1/watch";

        [Tooltip("Only for an engine on another machine; keep it out of scenes that you share.")]
        public string token = "";

        private Connection connection;

        /// <summary>The header of the stream, null before the first connection.</summary>
        public Hello Hello { get; private set; }

        /// <summary>The pose to show, null before the first connection.</summary>
        public Playback Playback { get; private set; }

        /// <summary>The connection, null while disabled.</summary>
        public Connection Connection => connection;

        /// <summary>Called in Update with words, captions, resets, warnings.</summary>
        public event Action<StreamEvent> EventReceived;

        public void OnEnable()
        {
            Application.runInBackground = true;
            if (!Uri.TryCreate(url, UriKind.Absolute, out var address) || !address.Scheme.StartsWith("ws"))
            {
                Debug.LogError("Gesture Stream: '" + url + "' is no address; like ws://127.0.0.1:8765/v1/watch", this);
                return;
            }
            connection = new Connection(address, Protocol.BinarySubprotocol, token);
            connection.Start();
        }

        public void OnDisable()
        {
            connection?.Dispose();
            connection = null;
        }

        public void Update()
        {
            connection?.Poll(this);
            Playback?.Update(GestureStreamer.Connection.Now);
        }

        void IStreamListener.OnHello(Hello hello, double at)
        {
            Hello = hello;
            Playback = new Playback(hello, at, Playback);
        }

        void IStreamListener.OnFrame(Frame frame, double at) => Playback.Push(frame, at);

        void IStreamListener.OnEvent(StreamEvent streamEvent) => EventReceived?.Invoke(streamEvent);
    }
}
