using UnityEditor;
using UnityEngine;

namespace GestureStreamer
{
    /// <summary>Shows in play mode whether the stream comes, and what is wrong if not.</summary>
    [CustomEditor(typeof(GestureStream))]
    public sealed class GestureStreamEditor : Editor
    {
        public override bool RequiresConstantRepaint() => Application.isPlaying;

        public override void OnInspectorGUI()
        {
            DrawDefaultInspector();
            var stream = (GestureStream)target;
            if (!Application.isPlaying || stream.Connection == null) return;
            var connection = stream.Connection;
            EditorGUILayout.LabelField("Link", connection.Link.ToString());
            if (connection.Problem != "") EditorGUILayout.HelpBox(connection.Problem, MessageType.Warning);
            if (stream.Hello == null)
            {
                EditorGUILayout.HelpBox("No engine yet: start `gesture live` on this machine.", MessageType.Info);
                return;
            }
            var playback = stream.Playback;
            EditorGUILayout.LabelField("Model", stream.Hello.Model + " on " + stream.Hello.Backend);
            EditorGUILayout.LabelField("Playback", playback.Mode + ", voice " + playback.Voice);
            EditorGUILayout.LabelField("Frames", connection.Frames + ", missed " + connection.Missed + ", dropped " + connection.Dropped);
            EditorGUILayout.LabelField("Jitter buffer", (1000 * playback.Clock.Jitter).ToString("0") + " ms");
            EditorGUILayout.LabelField("Delay the voice by", stream.Hello.Latency.Visible.ToString("0") + " ms");
        }
    }

    /// <summary>Shows in play mode which bones were found.</summary>
    [CustomEditor(typeof(GestureHumanoid))]
    public sealed class GestureHumanoidEditor : Editor
    {
        public override bool RequiresConstantRepaint() => Application.isPlaying;

        public override void OnInspectorGUI()
        {
            DrawDefaultInspector();
            var humanoid = (GestureHumanoid)target;
            if (humanoid.stream == null) EditorGUILayout.HelpBox("Drag the Gesture Stream of the scene here.", MessageType.Warning);
            if (!Application.isPlaying) return;
            if (humanoid.Problem != "") EditorGUILayout.HelpBox(humanoid.Problem, MessageType.Error);
            EditorGUILayout.LabelField("Bones", humanoid.BoundBones + " of " + humanoid.StreamBones);
        }
    }
}
