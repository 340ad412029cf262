"""Pictures of Slack messages, drawn from what the channel sends."""
