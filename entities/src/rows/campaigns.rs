//! Lists, campaigns, their runs and recipients.

use crate::rows::row;

row! {
    /// A row of `lists`.
    lists "lists" (Tenant) {
        key tenant_id: TenantId,
        key id: ListId,
        name: String,
        version: i64,
        created_at: DateTimeUtc,
        updated_at: DateTimeUtc,
    }
}

row! {
    /// A row of `list_members`.
    list_members "list_members" (Tenant) {
        key tenant_id: TenantId,
        key list_id: ListId,
        key contact_id: ContactId,
        added_at: DateTimeUtc,
    }
}

row! {
    /// A row of `campaigns`.
    campaigns "campaigns" (Tenant) {
        key tenant_id: TenantId,
        key id: CampaignId,
        name: String,
        state: String,
        version: i64,
        audience: Json,
        sender_id: SenderId,
        topic_id: TopicId,
        variants: Json,
        sample_bp: Option<i32>,
        schedule: Json,
        per_hour: Option<i32>,
        contents: Option<Json>,
        chosen_variant: Option<String>,
        recipients: Option<i64>,
        created_by: Option<Uuid>,
        started_by: Option<Uuid>,
        approved_by: Option<Uuid>,
        created_at: DateTimeUtc,
        updated_at: DateTimeUtc,
        started_at: Option<DateTimeUtc>,
        approved_at: Option<DateTimeUtc>,
        frozen_at: Option<DateTimeUtc>,
        ended_at: Option<DateTimeUtc>,
    }
}

row! {
    /// A row of `campaign_runs`.
    campaign_runs "campaign_runs" (Tenant) {
        key tenant_id: TenantId,
        key campaign_id: CampaignId,
        due_at: Option<DateTimeUtc>,
        as_of: Option<DateTimeUtc>,
        reached_id: Option<ContactId>,
        next_slot_at: Option<DateTimeUtc>,
    }
}

row! {
    /// A row of `campaign_recipients`.
    campaign_recipients "campaign_recipients" (Tenant) {
        key tenant_id: TenantId,
        key campaign_id: CampaignId,
        key contact_id: ContactId,
        state: String,
        variant: Option<String>,
        release_at: DateTimeUtc,
        message_id: Option<MessageId>,
        reason: Option<String>,
    }
}

row! {
    /// A row of `campaign_rules`.
    campaign_rules "campaign_rules" (Tenant) {
        key tenant_id: TenantId,
        approve_above: Option<i64>,
        four_eyes: bool,
        updated_at: DateTimeUtc,
    }
}
