using GestureStreamer;
using UnityEngine;

/// <summary>Shows what was said at the lower edge of the screen.</summary>
public sealed class Captions : MonoBehaviour
{
    public GestureStream stream;

    private string text = "";

    public void OnEnable() => stream.EventReceived += Take;

    public void OnDisable() => stream.EventReceived -= Take;

    public void OnGUI() => GUI.Label(new Rect(20, Screen.height - 60, Screen.width - 40, 40), text);

    private void Take(StreamEvent heard)
    {
        if (heard.Kind == "caption" || heard.Kind == "word") text = heard.Text;
    }
}
