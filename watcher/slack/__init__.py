"""What Slack shows and says: messages within its limits, its refusals, and one message for each batch."""
